-- The best documents for a parsed query as search_lexical finds them, by the BM25 index of the
-- extension pg_textsearch: the same parameters, the same rows, the same scores.
--
-- The index returns chunks with any of the lexemes, best first, by block-max WAND (Ding and Suel,
-- "Faster Top-k Document Retrieval Using Block-Max Indexes", 2011). Its scores are a few percent off:
-- it keeps a chunk's length rounded down by up to an eighth, and counts rows that are long deleted. So
-- chunks are scored anew from their lexemes and our statistics, and the scan is repeated, deeper each
-- time, until enough documents are above anything that the rounding may have misplaced. Nor does it
-- know filters, conditions or documents: these too make the scan go deeper.
--
-- Where posting_budget chunks are not enough, or the index was read to its end and too few documents
-- were in it, search_lexical answers in its place: a filter never hides what exists, and neither does
-- an index that lags behind its table. So it does where there is no index, for a heading_weight that
-- is not 1, of which the index knows nothing, and while a transaction writes into the index, which
-- would have to be waited for.
--
-- What happened is left as JSON in the transaction's setting rankgres.lexical_explain: as search_lexical
-- has it, with the plan pg_textsearch, or with the reason why the index did not answer.
CREATE FUNCTION rankgres.search_textsearch_v1(
    searched_generation bigint,
    parsed rankgres.parsed_query,
    candidates integer,
    passages integer DEFAULT 1,
    filter jsonpath DEFAULT NULL,
    posting_budget integer DEFAULT 10000,
    match text DEFAULT 'any',
    heading_weight double precision DEFAULT 1
) RETURNS TABLE (document_id text, "position" integer, score double precision, rank bigint, passage bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
DECLARE
    -- What chunk_textsearch holds while a transaction writes.
    writing constant bigint := hashtextextended('rankgres.textsearch', searched_generation);
    partition constant text := 'chunk_' || searched_generation;
    index_name constant text := format('rankgres.%s_textsearch', partition);
    extension_schema name;
    generation rankgres.generation;
    statistics record;
    term record;
    clauses_wanted integer := rankgres.query_match_v1(match, cardinality(parsed.clauses));
    words text;
    score_expression text;
    saturation constant text :=
        '$4 * (1 - $5 + $5 * lexical_length / $3) AS saturation';
    conditions text;
    -- Deeper than the rounding asks for: 1.0.0 leaves terms out of some scores where it skips blocks
    -- (its issue 365). With 500 fewer, up to 6 % of lists of ten differed in one place; now under 1 %.
    depth integer := 5 * least(candidates, posting_budget) + 1000;
    scanned integer;
    last_score double precision;
    document_ids text [];
    positions integer [];
    scores double precision [];
    -- Documents that match among what was scanned, and those that nothing deeper can be above.
    matched integer;
    certain integer;
    -- Why search_lexical has to answer.
    reason text;
    jit_before constant text := current_setting('jit');
BEGIN
    SELECT namespace.nspname INTO extension_schema
    FROM pg_extension AS extension
    JOIN pg_namespace AS namespace ON namespace.oid = extension.extnamespace
    WHERE extension.extname = 'pg_textsearch' AND to_regclass(index_name) IS NOT NULL;
    IF NOT FOUND THEN
        reason := 'there is no index of pg_textsearch';
    ELSIF heading_weight <> 1 THEN
        reason := 'pg_textsearch knows no heading_weight';
    ELSE
        SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = searched_generation;
        SELECT * INTO statistics FROM rankgres.lexical_statistics_v1(searched_generation);
        SELECT * INTO term
        FROM rankgres.lexical_terms_v1(searched_generation, parsed, statistics.chunk_total);
        SELECT string_agg(repeat(rankgres.textsearch_word_v1(wanted.lexeme) || ' ', frequency), '')
        INTO words
        FROM unnest(parsed.lexemes, parsed.frequencies) AS wanted (lexeme, frequency)
        JOIN unnest(term.terms) AS scoring
            -- As tsqueries are written out.
            ON scoring::text
                = '''' || replace(replace(wanted.lexeme, '\', '\\'), '''', '''''') || '''';
        IF words IS NULL THEN
            reason := 'no chunk has a lexeme of the query';
        ELSIF NOT pg_try_advisory_lock_shared(writing) THEN
            reason := 'a transaction is writing into the index of pg_textsearch';
        END IF;
    END IF;

    IF reason IS NULL THEN
        -- As lexical_score says, $3 mean length, $5 b; $7 words, $8 filter, $9 condition, $10 clauses,
        -- $11 clauses wanted, $12 depth
        score_expression := rankgres.lexical_score_v1(cardinality(term.terms), false);
        conditions := concat_ws(
            ' AND ',
            'score > 0',
            CASE WHEN filter IS NOT NULL THEN 'filters @@ $8' END,
            CASE WHEN parsed.condition IS NOT NULL THEN 'lexemes @@ $9' END,
            CASE WHEN clauses_wanted > 1
                THEN '(SELECT count(*) FROM unnest($10) AS clause WHERE lexemes @@ clause) >= $11' END
        );
        BEGIN
            PERFORM
                set_config('jit', 'off', true),
                -- The extension's planner hook finds a function of its own by the search path alone.
                -- The path is this function's, and is put back with it.
                set_config(
                    'search_path',
                    format('%s, %I', current_setting('search_path'), extension_schema),
                    true
                );
            LOOP
                depth := least(depth, posting_budget);
                EXECUTE format(
                    $statement$
                    SELECT
                        count(*) FILTER (WHERE score > 0),
                        (array_agg(score))[count(*)],
                        array_agg(document_id) FILTER (WHERE %5$s),
                        array_agg(position) FILTER (WHERE %5$s),
                        array_agg(score) FILTER (WHERE %5$s)
                    FROM (
                        SELECT document_id, position, filters, lexemes, %4$s AS score
                        FROM (
                            -- The distance is in the order alone: selected, it would be computed anew
                            -- from the text.
                            SELECT document_id, position, filters, lexemes, %6$s
                            FROM rankgres.%1$I
                            ORDER BY textsearch_words OPERATOR(%2$I.<@>) %2$I.to_bm25query($7, %3$L)
                            LIMIT $12
                        ) AS chunk
                    ) AS scored
                    $statement$,
                    partition,
                    extension_schema,
                    index_name,
                    score_expression,
                    conditions,
                    saturation
                )
                INTO scanned, last_score, document_ids, positions, scores
                USING
                    term.terms, term.weights, statistics.mean_length, generation.bm25_k1,
                    generation.bm25_b, heading_weight, words, filter, parsed.condition,
                    parsed.clauses, clauses_wanted, depth;
                SELECT
                    count(DISTINCT kept.document_id),
                    -- What was not returned scores in the index no more than the last chunk does, and
                    -- the index may have that one too high by an eighth.
                    count(DISTINCT kept.document_id) FILTER (
                        WHERE scanned < depth OR kept.score > last_score * 1.125
                    )
                INTO matched, certain
                FROM unnest(document_ids, scores) AS kept (document_id, score);
                EXIT WHEN certain >= candidates OR (depth = posting_budget AND matched >= candidates);
                IF scanned < depth THEN
                    reason := 'pg_textsearch was read to its end';
                ELSIF matched < candidates
                    -- Twice: how often the first chunks match says little of the next.
                    AND (depth = posting_budget
                        OR depth::bigint * candidates > 2::bigint * posting_budget * matched)
                THEN
                    reason := 'too little of what pg_textsearch returns matches';
                END IF;
                EXIT WHEN reason IS NOT NULL;
                depth := least(4::bigint * depth, posting_budget);
            END LOOP;
            PERFORM set_config('jit', jit_before, true);
        EXCEPTION WHEN query_canceled OR OTHERS THEN
            PERFORM pg_advisory_unlock_shared(writing);
            RAISE;
        END;
        PERFORM pg_advisory_unlock_shared(writing);
    END IF;

    IF reason IS NOT NULL THEN
        RETURN QUERY SELECT * FROM rankgres.search_lexical_v2(
            searched_generation, parsed, candidates, passages, filter, posting_budget, match,
            heading_weight
        );
        PERFORM set_config(
            'rankgres.lexical_explain',
            (
                current_setting('rankgres.lexical_explain')::jsonb
                || jsonb_build_object('reason', reason)
            )::text,
            true
        );
        RETURN;
    END IF;
    PERFORM set_config(
        'rankgres.lexical_explain',
        jsonb_build_object(
            'plan', 'pg_textsearch',
            'terms', cardinality(term.terms),
            'scored', scanned,
            -- As far as the index skips nothing that it should not.
            'exact', NOT term.cut AND certain >= candidates,
            'bounded', term.cut OR certain < candidates
        )::text,
        true
    );
    RETURN QUERY EXECUTE format(
        $statement$
        WITH scanned AS (
            -- Distinct: 1.0.0 returns some chunks twice from a deep scan.
            SELECT DISTINCT document_id, position, score
            FROM unnest($13, $14, $15) AS kept (document_id, position, score)
        ),
        best AS (
            SELECT
                document_id,
                row_number() OVER (ORDER BY max(score) DESC, document_id COLLATE "C") AS rank
            FROM scanned
            GROUP BY document_id
            ORDER BY rank
            LIMIT $16
        ),
        placed AS (
            SELECT
                *,
                row_number() OVER (PARTITION BY document_id ORDER BY score DESC, position) AS passage
            FROM (%s) AS chunk JOIN best USING (document_id)
        )
        SELECT document_id, position, score, rank, passage
        FROM placed
        WHERE passage <= $17
        ORDER BY rank, passage
        $statement$,
        CASE
            WHEN passages = 1 THEN 'SELECT * FROM scanned'
            -- All chunks of the best documents, also those that the scan did not come to.
            ELSE format(
                'SELECT document_id, position, score
                FROM (
                    SELECT document_id, position, filters, lexemes, %1$s AS score
                    FROM (
                        SELECT document_id, position, filters, lexemes, %2$s
                        FROM rankgres.%3$I
                        WHERE generation_id = %4$L AND document_id IN (SELECT document_id FROM best)
                        -- Keeps the saturation from being computed once more in every summand.
                        OFFSET 0
                    ) AS chunk
                ) AS scored
                WHERE %5$s',
                score_expression,
                saturation,
                partition,
                searched_generation,
                conditions
            )
        END
    ) USING
        term.terms, term.weights, statistics.mean_length, generation.bm25_k1, generation.bm25_b,
        heading_weight, words, filter, parsed.condition, parsed.clauses, clauses_wanted, depth,
        document_ids, positions, scores, candidates, passages;
END
$function$;
