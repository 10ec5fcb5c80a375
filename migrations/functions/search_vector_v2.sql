-- The best documents for a query's embedding by their nearest chunks, with up to passages chunks of
-- each. rank orders documents by their best chunk from 1; passage orders a document's chunks from 1.
-- score is the cosine similarity, the inner product, or minus the Euclidean distance.
--
-- Only chunks that satisfy filter and condition (a query over their lexemes) are seen. However few do
-- and wherever they lie, all documents wanted are returned where as many exist: the HNSW index is
-- walked on until there are enough, a walk that becomes dear gives way to exact search, and where
-- exact search is expected to be cheaper it is taken at once; see search_vector_plan. Without a ready
-- index (a small or a filling generation) the search is exact.
--
-- deadline is looked at before each step, and a step that is not expected to end in time is not begun:
-- what was found by then is returned, and complete is false. What happened is left as JSON in the
-- transaction's setting rankgres.vector_explain: plan (hnsw, exact, hnsw+exact, none), ef_search,
-- selectivity with the number of chunks sampled for it, expected milliseconds, complete, and the
-- reason where it is not.
CREATE FUNCTION rankgres.search_vector_v2(
    searched_generation bigint,
    query_embedding vector,
    candidates integer,
    passages integer DEFAULT 1,
    filter jsonpath DEFAULT NULL,
    condition tsquery DEFAULT NULL,
    ef_search integer DEFAULT NULL,
    deadline timestamptz DEFAULT NULL
) RETURNS TABLE (document_id text, "position" integer, score double precision, rank bigint, passage bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
DECLARE
    generation rankgres.generation;
    chunk_total bigint;
    chunks_wanted bigint;
    planned record;
    plan text := 'none';
    step text;
    step_ms double precision;
    left_ms double precision;
    reason text;
    document_ids text [];
    positions integer [];
    distances double precision [];
    documents_found bigint;
    -- Set during the search and put back after it. Clauses SET of the function would do the same,
    -- but to create or restore such a function takes a superuser while pgvector is not loaded.
    settings_before jsonb;
BEGIN
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = searched_generation;
    IF vector_dims(query_embedding) <> generation.embedding_dimension THEN
        RAISE EXCEPTION 'query_embedding has % dimensions, the collection''s embeddings have %',
            vector_dims(query_embedding), generation.embedding_dimension
            USING ERRCODE = 'invalid_parameter_value',
                COLUMN = 'query_embedding',
                HINT = format('embed the query with %s', generation.embedding_model);
    END IF;
    -- Several chunks of one document take places: ask for as many more as documents have on average.
    SELECT
        coalesce(sum(chunk_count), 0),
        ceil(candidates * greatest(1, sum(chunk_count) / nullif(sum(document_count), 0)::float8))
    INTO chunk_total, chunks_wanted
    FROM (
        SELECT chunk_count, document_count FROM rankgres.chunk_total
        WHERE generation_id = searched_generation
        UNION ALL
        SELECT chunk_count, document_count FROM rankgres.chunk_total_change
        WHERE generation_id = searched_generation
    ) AS total;
    SELECT * INTO planned FROM rankgres.search_vector_plan_v1(
        generation, chunk_total, chunks_wanted, filter, condition, ef_search
    );
    step := planned.plan;

    SELECT jsonb_object_agg(name, current_setting(name)) INTO settings_before
    FROM unnest(
        '{hnsw.ef_search,hnsw.iterative_scan,hnsw.max_scan_tuples,hnsw.scan_mem_multiplier,
        enable_sort,enable_bitmapscan,jit}'::text []
    ) AS name;
    PERFORM
        set_config('hnsw.iterative_scan', 'relaxed_order', true),
        -- What a walk remembers: 100 MB are about a million nodes.
        set_config('hnsw.scan_mem_multiplier', greatest(
            1, least(1000, ceil(100 * 1024 ^ 2 / pg_size_bytes(current_setting('work_mem'))))
        )::text, true),
        -- The planner's costs of vectors are high enough to compile statements that take milliseconds.
        set_config('jit', 'off', true);
    LOOP
        EXIT WHEN chunk_total = 0;
        left_ms := 1000 * extract(EPOCH FROM deadline - clock_timestamp());
        IF step = 'exact' AND left_ms < planned.exact_ms AND plan = 'none'
            AND generation.hnsw_state = 'ready' THEN
            -- Better what the index gives in that time than nothing.
            step := 'hnsw';
            reason := format(
                'deadline: exact search would take about %s ms, %s ms were left for the index',
                ceil(planned.exact_ms), floor(greatest(left_ms, 0))
            );
        END IF;
        -- A walk can be bounded, so it only wants some time; exact search takes what it takes.
        step_ms := CASE step WHEN 'exact' THEN planned.exact_ms ELSE least(planned.hnsw_ms, 1) END;
        IF left_ms < step_ms THEN
            reason := format(
                'deadline: %s search would take about %s ms, %s ms are left',
                step, ceil(step_ms), floor(greatest(left_ms, 0))
            );
            EXIT;
        END IF;
        plan := CASE WHEN plan = 'hnsw' AND step = 'exact' THEN 'hnsw+exact' ELSE step END;
        planned.ef_search := greatest(1, least(planned.ef_search, left_ms / planned.returned_ms));
        PERFORM
            set_config('hnsw.ef_search', planned.ef_search::text, true),
            -- A node that a walk visits and hands out at its end takes a third of a result.
            set_config('hnsw.max_scan_tuples', greatest(1, least(
                planned.scan_tuples, 3 * left_ms / planned.returned_ms
            ))::integer::text, true),
            set_config(
                'enable_sort',
                CASE step WHEN 'hnsw' THEN 'off' ELSE settings_before ->> 'enable_sort' END,
                true
            ),
            -- Not through an index that would be read whole.
            set_config(
                'enable_bitmapscan',
                CASE WHEN NOT planned.served THEN 'off'
                    ELSE settings_before ->> 'enable_bitmapscan' END,
                true
            );
        EXECUTE rankgres.search_vector_statement_v1(
            generation, step, filter IS NOT NULL, condition IS NOT NULL
        )
        INTO document_ids, positions, distances
        USING query_embedding, filter, condition, chunks_wanted, planned.index_chunks;
        documents_found := (SELECT count(DISTINCT id) FROM unnest(document_ids) AS id);

        IF step = 'hnsw' AND coalesce(cardinality(document_ids), 0) < least(chunks_wanted, chunk_total)
        THEN
            step := 'exact';
            CONTINUE;
        END IF;
        EXIT WHEN documents_found >= candidates
            OR coalesce(cardinality(document_ids), 0) < chunks_wanted
            OR chunks_wanted >= chunk_total;
        -- Some documents have many more chunks than others.
        chunks_wanted := 2 * chunks_wanted;
        planned.index_chunks := 2 * planned.index_chunks;
        planned.ef_search := least(2 * planned.ef_search, 1000);
        planned.scan_tuples := least(2 * planned.scan_tuples, 2147483647);
        planned.hnsw_ms := 2 * planned.hnsw_ms;
    END LOOP;
    PERFORM set_config(key, value, true) FROM jsonb_each_text(settings_before);
    PERFORM set_config(
        'rankgres.vector_explain',
        jsonb_build_object(
            'plan', CASE chunk_total WHEN 0 THEN 'exact' ELSE plan END,
            'ef_search', CASE WHEN plan LIKE 'hnsw%' THEN planned.ef_search END,
            'selectivity', round(planned.selectivity::numeric, 6),
            'sampled', planned.sampled,
            'expected_hnsw_ms', CASE generation.hnsw_state
                WHEN 'ready' THEN round(planned.hnsw_ms::numeric, 1) END,
            'expected_exact_ms', round(planned.exact_ms::numeric, 1),
            'complete', reason IS NULL,
            'reason', reason
        )::text,
        true
    );

    RETURN QUERY
    WITH placed AS (
        SELECT
            nearest.document_id,
            nearest.position,
            CASE generation.distance
                -- An embedding of zeros has no direction and comes last: least() turns its NaN into 2.
                WHEN 'cosine' THEN 1 - least(nearest.distance, 2)
                ELSE -nearest.distance
            END AS score,
            row_number() OVER (PARTITION BY nearest.document_id ORDER BY nearest.place) AS passage,
            nearest.place
        FROM unnest(document_ids, positions, distances)
            WITH ORDINALITY AS nearest (document_id, position, distance, place)
    ),
    best AS (
        SELECT document_id, row_number() OVER (ORDER BY place) AS rank
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
