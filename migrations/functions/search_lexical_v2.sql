-- The best documents for a parsed query by BM25 over their chunks, with up to passages chunks of each.
-- rank orders documents by their best chunk from 1; passage orders a document's chunks from 1.
-- Only chunks that satisfy filter, the query's condition and enough of its clauses (see query_match)
-- are seen.
--
-- Where the query's terms stand in at most posting_budget chunks together, all of these are scored.
-- Otherwise chunks are taken in rungs, those first whose terms promise most (see lexical_rungs), until
-- no chunk outside could reach the documents found, which makes the answer exact; or 7 chunks have
-- been scored for each candidate; or the budget is spent, or would be by the next rung. A filter or
-- condition that leaves few chunks is answered from these, all of them.
--
-- What happened is left as JSON in the transaction's setting rankgres.lexical_explain: plan (complete,
-- rungs, filtered or nothing), terms, scored (chunks), exact (the list is provably that of BM25 over
-- all chunks), bounded (it is not known to be).
CREATE FUNCTION rankgres.search_lexical_v2(
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
    -- Measured at 1,000,000 chunks: fewer cost overlap with the exact list, more cost time alone.
    scored_per_candidate constant integer := 7;
    -- The rarest terms choose chunks, all terms score them.
    choosing_terms constant integer := 8;
    generation rankgres.generation;
    statistics record;
    term record;
    clauses_wanted integer := rankgres.query_match_v1(match, cardinality(parsed.clauses));
    condition tsquery := parsed.condition;
    restricted boolean;
    share double precision := 1;
    plan text := 'rungs';
    statement text;
    rung record;
    pool tsquery [];
    pool_condition text := 'lexemes @@ ($9)[%s]';
    taken record;
    found record;
    -- Chunks that the next rung is to have, and how many there were for one expected.
    needed double precision := 0;
    surprise double precision := 1;
    enough boolean := false;
    budget_spent boolean;
    exact boolean;
    settings_before jsonb;
BEGIN
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = searched_generation;
    SELECT * INTO statistics FROM rankgres.lexical_statistics_v1(searched_generation);
    SELECT * INTO term
    FROM rankgres.lexical_terms_v1(searched_generation, parsed, statistics.chunk_total);
    IF term.terms IS NULL THEN
        PERFORM set_config(
            'rankgres.lexical_explain',
            '{"plan": "nothing", "terms": 0, "scored": 0, "exact": true, "bounded": false}',
            true
        );
        RETURN;
    END IF;
    IF clauses_wanted > 1 THEN
        -- Whoever has enough of the clauses has one of any as many as may be missing and one more.
        SELECT coalesce(condition && needed.clauses, needed.clauses) INTO condition
        FROM (
            SELECT string_agg(
                '(' || clause::text || ')',
                CASE clauses_wanted WHEN cardinality(parsed.clauses) THEN '&' ELSE '|' END
            )::tsquery AS clauses
            FROM unnest(parsed.clauses) WITH ORDINALITY AS listed (clause, place)
            WHERE clauses_wanted = cardinality(parsed.clauses)
                OR place <= cardinality(parsed.clauses) - clauses_wanted + 1
        ) AS needed;
    END IF;
    restricted := filter IS NOT NULL OR condition IS NOT NULL;

    IF (SELECT sum(count) FROM unnest(term.counts) AS count) <= posting_budget THEN
        plan := 'complete';
    ELSIF restricted THEN
        share := (rankgres.chunk_selectivity_v1(searched_generation, filter, condition)).selectivity;
        IF share * statistics.chunk_total <= posting_budget THEN
            plan := 'filtered';
        END IF;
    END IF;
    -- $1 to $6 as lexical_score says, $3 mean length, $5 b; $7 filter, $8 condition, $9 pool, $10 the
    -- most chunks to score, $11 clauses, $12 clauses wanted, $13 documents wanted
    statement := format(
        $statement$
        WITH scored AS MATERIALIZED (
            SELECT document_id, position, %2$s AS matched, %3$s AS score
            FROM (
                SELECT
                    document_id,
                    position,
                    lexemes,
                    -- Above 0 also for k1 = 0, where a term's frequency does not count.
                    greatest($4 * (1 - $5 + $5 * lexical_length / $3), 1e-9) AS saturation
                FROM rankgres.%1$I
                WHERE (%%s) %4$s
                -- Also keeps the saturation from being computed once more in every summand.
                LIMIT $10 OFFSET 0
            ) AS chunk
        ),
        best AS MATERIALIZED (
            SELECT document_id, max(score) AS score
            FROM scored
            WHERE matched
            GROUP BY document_id
            ORDER BY 2 DESC, document_id COLLATE "C"
            LIMIT $13
        )
        SELECT
            (SELECT count(*) FROM scored) AS scored,
            (SELECT count(*) FROM best) AS documents,
            (SELECT min(score) FROM best) AS last_score,
            array_agg(scored.document_id) AS document_ids,
            array_agg(scored.position) AS positions,
            array_agg(scored.score) AS scores
        FROM best JOIN scored USING (document_id)
        WHERE scored.matched
        $statement$,
        'chunk_' || searched_generation,
        CASE WHEN clauses_wanted > 1
            THEN '(SELECT count(*) FROM unnest($11) AS clause WHERE lexemes @@ clause) >= $12'
            ELSE 'true' END,
        rankgres.lexical_score_v1(cardinality(term.terms), heading_weight <> 1),
        concat(
            CASE
                -- A filter that many satisfy is looked at chunk by chunk, not through its index.
                WHEN filter IS NOT NULL AND plan = 'rungs' THEN ' AND (filters @@ $7) IS TRUE'
                WHEN filter IS NOT NULL THEN ' AND filters @@ $7'
            END,
            CASE WHEN condition IS NOT NULL THEN ' AND lexemes @@ $8' END
        )
    );
    IF plan = 'filtered' AND filter IS NOT NULL THEN
        -- The postings of all terms would be read to look at the few chunks that the filter leaves.
        pool_condition := '(lexemes @@ ($9)[%s]) IS TRUE';
    END IF;
    SELECT jsonb_object_agg(name, current_setting(name)) INTO settings_before
    FROM unnest('{enable_seqscan,jit}'::text []) AS name;
    PERFORM
        -- Costs of tsvectors are high enough to compile statements that take milliseconds.
        set_config('jit', 'off', true),
        -- A limit makes reading the table look cheap, as if what matches stood everywhere in it.
        set_config(
            'enable_seqscan',
            CASE plan WHEN 'rungs' THEN 'off' ELSE settings_before ->> 'enable_seqscan' END,
            true
        );
    FOR rung IN
        SELECT each.threshold, each.unseen + others.promised AS unseen, each.expected
        FROM rankgres.lexical_rungs_v1(
            term.weights[:choosing_terms], term.counts[:choosing_terms], statistics.chunk_total,
            greatest(100, scored_per_candidate * candidates) / share
        ) AS each
        CROSS JOIN (
            SELECT coalesce(sum(weight), 0) AS promised
            FROM unnest(term.weights[choosing_terms + 1:]) AS weight
        ) AS others
        WHERE plan = 'rungs'
        UNION ALL
        -- The last has any of the terms.
        SELECT NULL, 0, statistics.chunk_total
        ORDER BY 3
    LOOP
        -- Terms do not stand independently of each other: the last rung tells how far off that was.
        CONTINUE WHEN rung.expected * surprise < needed AND rung.expected < statistics.chunk_total;
        -- Of a rung beyond the budget a part would be taken, and not the best: no match for what is found.
        EXIT WHEN enough AND rung.expected * surprise > posting_budget;
        IF rung.threshold IS NULL THEN
            pool := ARRAY(SELECT string_agg(one::text, '|')::tsquery FROM unnest(term.terms) AS one);
        ELSE
            pool := rankgres.lexical_promise_v1(
                term.terms[:choosing_terms], term.weights[:choosing_terms], rung.threshold
            );
        END IF;
        EXECUTE format(
            statement,
            (
                SELECT string_agg(format(pool_condition, place), ' OR ')
                FROM generate_series(1, cardinality(pool)) AS place
            )
        )
        INTO taken
        USING
            term.terms, term.weights, statistics.mean_length, generation.bm25_k1, generation.bm25_b,
            heading_weight, filter, condition, pool,
            CASE plan WHEN 'rungs' THEN posting_budget END, parsed.clauses, clauses_wanted, candidates;
        budget_spent := plan = 'rungs' AND taken.scored >= posting_budget;
        IF budget_spent AND needed > 0 THEN
            -- Of this rung a part was taken, and not the best: what was above it stays.
            SELECT
                found.scored + taken.scored AS scored,
                found.documents + taken.documents AS documents,
                0 AS last_score,
                array_agg(document_id) AS document_ids,
                array_agg(position) AS positions,
                array_agg(score) AS scores
            INTO found
            FROM (
                SELECT *
                FROM unnest(found.document_ids, found.positions, found.scores)
                    AS before (document_id, position, score)
                UNION
                SELECT *
                FROM unnest(taken.document_ids, taken.positions, taken.scores)
                    AS now (document_id, position, score)
            ) AS chunk;
        ELSE
            found := taken;
        END IF;
        exact := NOT term.cut AND NOT budget_spent AND (
            rung.unseen = 0
            OR (found.documents = candidates
                AND found.last_score >= (generation.bm25_k1 + 1) * rung.unseen)
        );
        enough := found.documents >= candidates;
        EXIT WHEN exact OR budget_spent
            OR (enough AND found.scored >= scored_per_candidate * candidates);
        surprise := greatest(found.scored, 1) / rung.expected;
        needed := scored_per_candidate * candidates;
    END LOOP;
    PERFORM set_config(key, value, true) FROM jsonb_each_text(settings_before);
    PERFORM set_config(
        'rankgres.lexical_explain',
        jsonb_build_object(
            'plan', plan,
            'terms', cardinality(term.terms),
            'scored', found.scored,
            'exact', exact,
            'bounded', NOT exact
        )::text,
        true
    );

    RETURN QUERY
    WITH placed AS (
        SELECT
            chunk.*,
            row_number() OVER (PARTITION BY document_id ORDER BY score DESC, position) AS passage
        FROM unnest(found.document_ids, found.positions, found.scores)
            AS chunk (document_id, position, score)
    ),
    best AS (
        SELECT
            document_id,
            row_number() OVER (ORDER BY score DESC, document_id COLLATE "C") AS rank
        FROM placed
        WHERE passage = 1
        ORDER BY rank
        LIMIT candidates
    )
    SELECT document_id, position, score, rank, passage
    FROM placed JOIN best USING (document_id)
    WHERE passage <= passages
    ORDER BY rank, passage;
END
$function$;
