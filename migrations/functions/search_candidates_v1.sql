-- The candidate stage: the best documents of a collection for a query, by BM25, by nearest embedding
-- or by both fused, filtered, with every rank and score of every stage. The service, SQL users and
-- the tests call this one function.
--
-- query_embedding is the query encoded by the collection's embedding model; mode 'lexical' needs none,
-- mode 'vector' needs no query. Fusion 'convex' sums both stages' scores, each scaled to 0..1 over its
-- list (Bruch et al., "An Analysis of Fusion Functions for Hybrid Retrieval", 2023); 'rrf' sums
-- 1 / (rrf_k + rank) (Cormack et al., "Reciprocal Rank Fusion", 2009). lexical_weight is the share of
-- the lexical stage, the rest is the vector stage's. Ties are broken by document id, so the same query
-- gives the same list.
--
-- Each stage offers stage_candidates documents, of which the best candidates are returned, each with
-- up to passages chunks: rank counts documents, passage the chunks of one. Offsets are characters of
-- the document's text. What happened inside, with the milliseconds of each stage, is left as JSON in
-- the transaction's setting rankgres.explain.
CREATE FUNCTION rankgres.search_candidates_v1(
    collection text,
    query text,
    query_embedding vector,
    candidates integer,
    filter jsonb,
    mode text,
    fusion text,
    lexical_weight double precision,
    rrf_k integer,
    stage_candidates integer,
    passages integer,
    posting_budget integer,
    ef_search integer
) RETURNS TABLE (
    rank bigint,
    passage bigint,
    document_id text,
    "position" integer,
    heading text,
    text text,
    start_offset integer,
    end_offset integer,
    metadata jsonb,
    score double precision,
    lexical_rank bigint,
    lexical_score double precision,
    vector_rank bigint,
    vector_score double precision
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
DECLARE
    generation rankgres.generation;
    condition jsonpath;
    lexical rankgres.ranked_chunk [];
    nearest rankgres.ranked_chunk [];
    started timestamptz := clock_timestamp();
    lexical_done timestamptz;
    vector_done timestamptz;
    stage_size integer;
    counted record;
BEGIN
    IF mode IS NULL OR mode NOT IN ('lexical', 'vector', 'hybrid') THEN
        RAISE EXCEPTION 'mode "%" is not known', mode
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'mode',
                HINT = 'use lexical, vector or hybrid';
    ELSIF fusion IS NULL OR fusion NOT IN ('convex', 'rrf') THEN
        RAISE EXCEPTION 'fusion "%" is not known', fusion
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'fusion',
                HINT = 'use convex or rrf';
    ELSIF lexical_weight IS NULL OR lexical_weight NOT BETWEEN 0 AND 1 THEN
        RAISE EXCEPTION 'lexical_weight % is not between 0 and 1', lexical_weight
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'lexical_weight',
                HINT = 'the vector stage gets the rest of 1';
    ELSIF mode <> 'lexical' AND query_embedding IS NULL THEN
        RAISE EXCEPTION 'mode "%" needs query_embedding', mode
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'query_embedding',
                HINT = 'pass it, or mode => ''lexical''';
    END IF;
    FOR counted IN
        SELECT * FROM (VALUES
            ('candidates', candidates),
            ('stage_candidates', stage_candidates),
            ('passages', passages),
            ('rrf_k', rrf_k),
            ('posting_budget', posting_budget),
            ('ef_search', coalesce(ef_search, 1))
        ) AS parameter (name, value)
        WHERE value IS NULL OR value < 1
    LOOP
        RAISE EXCEPTION '% is %', counted.name, coalesce(counted.value::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', COLUMN = counted.name,
                HINT = 'use 1 or more';
    END LOOP;
    SELECT found.* INTO generation
    FROM rankgres.generation AS found
    JOIN rankgres.collection AS owner ON owner.id = found.collection_id
    WHERE owner.name = search_candidates_v1.collection AND found.state = 'active';
    BEGIN
        -- Held to the transaction's end, so that no stage finds its table dropped. No id is 0.
        EXECUTE format(
            'LOCK TABLE rankgres.%I IN ACCESS SHARE MODE',
            'chunk_' || coalesce(generation.id, 0)
        );
    EXCEPTION WHEN undefined_table THEN
        RAISE EXCEPTION 'collection "%" does not exist', collection
            USING ERRCODE = 'undefined_object', COLUMN = 'collection',
                HINT = 'SELECT name FROM rankgres.collection';
    END;
    condition := rankgres.filter_to_jsonpath_v1(filter);
    stage_size := greatest(stage_candidates, candidates);

    IF mode <> 'vector' THEN
        lexical := ARRAY(
            SELECT ROW(hit.*)::rankgres.ranked_chunk
            FROM rankgres.search_lexical_v1(
                generation.id, query, stage_size, passages, condition, posting_budget
            ) AS hit
        );
    END IF;
    lexical_done := clock_timestamp();
    IF mode <> 'lexical' THEN
        nearest := ARRAY(
            SELECT ROW(hit.*)::rankgres.ranked_chunk
            FROM rankgres.search_vector_v1(
                generation.id, query_embedding, stage_size, passages, condition, ef_search
            ) AS hit
        );
    END IF;
    vector_done := clock_timestamp();

    RETURN QUERY EXECUTE format(
        $statement$
        WITH lexical AS (
            SELECT
                *,
                rankgres.min_max_v1(
                    score,
                    min(score) FILTER (WHERE passage = 1) OVER (),
                    max(score) FILTER (WHERE passage = 1) OVER ()
                ) AS scaled
            FROM unnest($1)
        ),
        nearest AS (
            SELECT
                *,
                rankgres.min_max_v1(
                    score,
                    min(score) FILTER (WHERE passage = 1) OVER (),
                    max(score) FILTER (WHERE passage = 1) OVER ()
                ) AS scaled
            FROM unnest($2)
        ),
        fused AS (
            SELECT
                document_id,
                lexical.rank AS lexical_rank,
                lexical.score AS lexical_score,
                nearest.rank AS vector_rank,
                nearest.score AS vector_score,
                CASE $3
                    WHEN 'rrf' THEN
                        coalesce($4 / ($5 + lexical.rank), 0)
                        + coalesce((1 - $4) / ($5 + nearest.rank), 0)
                    ELSE coalesce($4 * lexical.scaled, 0) + coalesce((1 - $4) * nearest.scaled, 0)
                END AS score
            FROM (SELECT * FROM lexical WHERE passage = 1) AS lexical
            FULL JOIN (SELECT * FROM nearest WHERE passage = 1) AS nearest USING (document_id)
        ),
        ranked AS (
            SELECT
                *,
                row_number() OVER (ORDER BY score DESC, document_id COLLATE "C") AS rank
            FROM fused
            ORDER BY rank
            LIMIT $6
        ),
        passage AS (
            SELECT
                document_id,
                position,
                row_number() OVER (
                    PARTITION BY document_id
                    ORDER BY
                        $4 * coalesce(lexical.scaled, 0) + (1 - $4) * coalesce(nearest.scaled, 0) DESC,
                        position
                ) AS passage
            FROM lexical FULL JOIN nearest USING (document_id, position)
        )
        SELECT
            ranked.rank, passage.passage, chunk.document_id, chunk.position, chunk.heading, chunk.text,
            chunk.start_offset, chunk.end_offset, chunk.filters, ranked.score,
            ranked.lexical_rank, ranked.lexical_score, ranked.vector_rank, ranked.vector_score
        FROM ranked
        JOIN passage USING (document_id)
        JOIN rankgres.%1$I AS chunk ON
            chunk.generation_id = %2$L
            AND chunk.document_id = passage.document_id
            AND chunk.position = passage.position
        WHERE passage.passage <= $7
        ORDER BY ranked.rank, passage.passage
        $statement$,
        'chunk_' || generation.id,
        generation.id
    )
    USING
        lexical,
        nearest,
        fusion,
        CASE mode WHEN 'lexical' THEN 1 WHEN 'vector' THEN 0 ELSE lexical_weight END,
        rrf_k,
        candidates,
        passages;

    PERFORM set_config(
        'rankgres.explain',
        jsonb_build_object(
            'generation', generation.id,
            'lexical_ms', rankgres.milliseconds_v1(started, lexical_done),
            'lexical_bounded', CASE WHEN mode <> 'vector'
                THEN current_setting('rankgres.lexical_bounded', true)::boolean END,
            'vector_ms', rankgres.milliseconds_v1(lexical_done, vector_done),
            'vector_plan', CASE WHEN mode <> 'lexical'
                THEN current_setting('rankgres.vector_plan', true) END,
            'fusion_ms', rankgres.milliseconds_v1(vector_done, clock_timestamp())
        )::text,
        true
    );
END
$function$;

-- The public name. It stays while versions come and go behind it.
CREATE FUNCTION rankgres.search_candidates(
    collection text,
    query text,
    query_embedding vector DEFAULT NULL,
    candidates integer DEFAULT 100,
    filter jsonb DEFAULT NULL,
    mode text DEFAULT 'hybrid',
    fusion text DEFAULT 'convex',
    lexical_weight double precision DEFAULT 0.5,
    rrf_k integer DEFAULT 60,
    stage_candidates integer DEFAULT 100,
    passages integer DEFAULT 1,
    posting_budget integer DEFAULT 20000,
    ef_search integer DEFAULT NULL
) RETURNS TABLE (
    rank bigint,
    passage bigint,
    document_id text,
    "position" integer,
    heading text,
    text text,
    start_offset integer,
    end_offset integer,
    metadata jsonb,
    score double precision,
    lexical_rank bigint,
    lexical_score double precision,
    vector_rank bigint,
    vector_score double precision
)
LANGUAGE sql
AS $function$
    SELECT * FROM rankgres.search_candidates_v1(
        collection, query, query_embedding, candidates, filter, mode, fusion, lexical_weight, rrf_k,
        stage_candidates, passages, posting_budget, ef_search
    )
$function$;
