-- The best documents for a query by BM25 over their chunks, with up to passages chunks of each.
-- rank orders documents by their best chunk from 1; passage orders a document's chunks from 1.
--
-- BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009), with the
-- smoothed idf that never falls below 0: ln(1 + (N - n + 0.5) / (n + 0.5)).
--
-- Work is bounded: candidates are the chunks of the rarest lexemes, as many lexemes as stand in at
-- most posting_budget chunks together; common lexemes add to the scores of these candidates alone.
-- Where that gives too few, or even the rarest stands in more chunks, chunks with all of the common
-- lexemes follow, then chunks of the rarest of these (under a filter, of any), posting_budget of each
-- at most: a filter never hides what exists. Whether candidates were bounded is told in the
-- transaction's setting rankgres.lexical_bounded.
--
-- Term frequencies come from ts_rank, which for one lexeme and equal weights is a function of the
-- frequency alone, H(tf) / (π² / 6) with H(n) the sum of 1 / j² to n; its inverse is below, exact
-- from 0 to the 255 positions that a tsvector keeps. Much cheaper than unnesting the tsvector.
CREATE FUNCTION rankgres.search_lexical_v1(
    searched_generation bigint,
    query text,
    candidates integer,
    passages integer DEFAULT 1,
    filter jsonpath DEFAULT NULL,
    posting_budget integer DEFAULT 20000
) RETURNS TABLE (document_id text, "position" integer, score double precision, rank bigint, passage bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
DECLARE
    -- Further lexemes of a long query are its most common ones and say the least.
    max_lexemes constant integer := 64;
    generation rankgres.generation;
    chunk_total double precision;
    mean_length double precision;
    terms tsquery [];
    weights double precision [];
    within_budget integer;
    postings_within bigint;
    longer_than_counted boolean;
    matching text;
    contributions text;
    -- Together within the budget; all of the other lexemes; the rarest or any of the others.
    pool tsquery;
    common tsquery;
    fallback tsquery;
    enough boolean;
BEGIN
    PERFORM set_config('rankgres.lexical_bounded', 'false', true);
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = searched_generation;
    SELECT sum(total.chunk_count), sum(total.lexical_length)::double precision
        / nullif(sum(total.chunk_count), 0)
    INTO chunk_total, mean_length
    FROM (
        SELECT chunk_count, lexical_length FROM rankgres.chunk_total
        WHERE generation_id = searched_generation
        UNION ALL
        SELECT chunk_count, lexical_length FROM rankgres.chunk_total_change
        WHERE generation_id = searched_generation
    ) AS total;

    SELECT
        array_agg(wanted.term ORDER BY wanted.place),
        array_agg(
            wanted.query_frequency
            * ln(1 + (chunk_total - wanted.chunk_count + 0.5) / (wanted.chunk_count + 0.5))
            ORDER BY wanted.place
        ),
        count(*) FILTER (WHERE wanted.postings <= posting_budget),
        max(wanted.postings) FILTER (WHERE wanted.postings <= posting_budget),
        max(wanted.lexemes) > max_lexemes
    INTO terms, weights, within_budget, postings_within, longer_than_counted
    FROM (
        SELECT
            lexeme.term,
            lexeme.query_frequency,
            least(lexeme.chunk_count, chunk_total) AS chunk_count,
            lexeme.place,
            sum(lexeme.chunk_count) OVER (ORDER BY lexeme.place) AS postings,
            count(*) OVER () AS lexemes
        FROM rankgres.query_lexemes_v1(
            searched_generation, generation.text_search_config, query
        ) WITH ORDINALITY AS lexeme (lexeme, query_frequency, chunk_count, term, place)
    ) AS wanted
    WHERE wanted.place <= max_lexemes;
    IF terms IS NULL THEN
        RETURN;
    END IF;

    PERFORM set_config(
        'rankgres.lexical_bounded',
        (longer_than_counted OR within_budget < cardinality(terms))::text,
        true
    );
    SELECT string_agg(term::text, '|')::tsquery INTO pool
    FROM unnest(terms[:within_budget]) AS term;
    SELECT
        string_agg(term::text, '&')::tsquery,
        CASE WHEN filter IS NULL THEN terms[within_budget + 1]
            ELSE string_agg(term::text, '|')::tsquery END
    INTO common, fallback
    FROM unnest(terms[within_budget + 1:]) AS term;

    -- $1 terms, $2 weights, $3 pool, $4 filter, $5 posting budget, $6 mean length, $7 candidates,
    -- $8 passages, $9 k1, $10 b, $11 common, $12 fallback
    matching := format(
        'SELECT document_id, position, lexical_length, lexemes FROM rankgres.%I WHERE %s lexemes @@ ',
        'chunk_' || searched_generation,
        CASE WHEN filter IS NOT NULL THEN 'filters @@ $4 AND' ELSE '' END
    );
    enough := common IS NULL OR coalesce(postings_within, 0) >= candidates;
    IF enough AND common IS NOT NULL AND filter IS NOT NULL THEN
        -- A look at some: documents seldom have more than ten matching chunks.
        EXECUTE format(
            'SELECT count(DISTINCT document_id) >= $3 FROM (%s $1 LIMIT 10 * $3) AS looked_at',
            replace(matching, '$4', '$2')
        ) INTO enough USING pool, filter, candidates;
    END IF;
    matching := CASE
        WHEN enough THEN matching || '$3'
        WHEN pool IS NULL THEN format(
            '(%1$s $11 LIMIT $5) UNION ALL (%1$s $12 AND NOT lexemes @@ $11 LIMIT $5)', matching
        )
        ELSE format(
            '(%1$s $3) UNION ALL (%1$s $11 AND NOT lexemes @@ $3 LIMIT $5)
            UNION ALL (%1$s $12 AND NOT lexemes @@ $11 AND NOT lexemes @@ $3 LIMIT $5)',
            matching
        )
    END;
    -- One expression a lexeme: three times as fast as a lateral join over the terms.
    SELECT string_agg(
        format(
            '($2)[%1$s] * (1 - saturation / (saturation
                + floor(0.6079271018540267 / (1 - ts_rank(''{1,1,1,1}'', lexemes, ($1)[%1$s])))))',
            place
        ),
        ' + '
    ) INTO contributions
    FROM generate_series(1, cardinality(terms)) AS place;

    RETURN QUERY EXECUTE format(
        $statement$
        WITH matching AS (%1$s),
        scored AS (
            SELECT document_id, position, ($9 + 1) * (%2$s) AS score
            FROM (
                SELECT
                    *,
                    -- Above 0 also for k1 = 0, where a term's frequency does not count.
                    greatest($9 * (1 - $10 + $10 * lexical_length / $6), 1e-9) AS saturation
                FROM matching
                -- Keeps the saturation from being computed once more in every contribution.
                OFFSET 0
            ) AS measured
        ),
        placed AS (
            SELECT
                *,
                row_number() OVER (PARTITION BY document_id ORDER BY score DESC, position) AS passage
            FROM scored
        ),
        best AS (
            SELECT
                document_id,
                row_number() OVER (ORDER BY score DESC, document_id COLLATE "C") AS rank
            FROM placed
            WHERE passage = 1
            ORDER BY rank
            LIMIT $7
        )
        SELECT document_id, position, score, rank, passage
        FROM placed JOIN best USING (document_id)
        WHERE passage <= $8
        ORDER BY rank, passage
        $statement$,
        matching,
        contributions
    ) USING terms, weights, pool, filter, posting_budget, mean_length, candidates, passages,
        generation.bm25_k1, generation.bm25_b, common, fallback;
END
$function$;
