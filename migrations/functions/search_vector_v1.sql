-- The best documents for a query's embedding by their nearest chunks, with up to passages chunks of
-- each. rank orders documents by their best chunk from 1; passage orders a document's chunks from 1.
-- score is the cosine similarity, the inner product, or minus the Euclidean distance.
--
-- With an HNSW index the scan is iterative, so a filter makes it walk on rather than come back short;
-- what the walk still missed under a filter is fetched by an exact scan, so no row that exists is
-- withheld. Without the index (a small or a filling generation) the scan is exact. How it was done is
-- told in the transaction's setting rankgres.vector_plan: hnsw, exact, or hnsw+exact.
CREATE FUNCTION rankgres.search_vector_v1(
    searched_generation bigint,
    query_embedding vector,
    candidates integer,
    passages integer DEFAULT 1,
    filter jsonpath DEFAULT NULL,
    ef_search integer DEFAULT NULL
) RETURNS TABLE (document_id text, "position" integer, score double precision, rank bigint, passage bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
DECLARE
    generation rankgres.generation;
    chunk_total bigint;
    chunks_wanted bigint;
    -- Bits order coarsely: take more of them and order these by the real distance.
    oversampling integer := 1;
    distance text;
    plan text;
    document_ids text [];
    positions integer [];
    distances double precision [];
    documents_found bigint;
    -- Set during the scan and put back after it. Clauses SET of the function would do the same, but
    -- to create or restore such a function takes a superuser while pgvector is not loaded.
    settings_during constant jsonb :=
        '{"hnsw.iterative_scan": "relaxed_order", "hnsw.max_scan_tuples": "20000"}';
    settings_before jsonb;
BEGIN
    PERFORM set_config('rankgres.vector_plan', 'exact', true);
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
    IF chunk_total = 0 THEN
        RETURN;
    END IF;
    distance := rankgres.generation_distance_v1(generation, '$1');
    plan := CASE generation.hnsw_state WHEN 'ready' THEN 'hnsw' ELSE 'exact' END;
    IF plan = 'hnsw' AND generation.storage_type = 'bit' THEN
        oversampling := 4;
    END IF;

    SELECT jsonb_object_agg(name, current_setting(name)) INTO settings_before
    FROM unnest('{hnsw.ef_search,hnsw.iterative_scan,hnsw.max_scan_tuples}'::text []) AS name;
    PERFORM set_config(key, value, true) FROM jsonb_each_text(settings_during);
    LOOP
        PERFORM set_config(
            'hnsw.ef_search',
            least(1000, coalesce(ef_search, greatest(100, 2 * oversampling * chunks_wanted)))::text,
            true
        );
        EXECUTE format(
            $statement$
            SELECT array_agg(document_id), array_agg(position), array_agg(distance)
            FROM (
                SELECT document_id, position, distance
                FROM (
                    SELECT document_id, position, %2$s AS distance
                    FROM rankgres.%1$I
                    %3$s
                    ORDER BY %4$s
                    LIMIT $3 * %5$s
                ) AS scanned
                ORDER BY distance, document_id COLLATE "C", position
                LIMIT $3
            ) AS nearest
            $statement$,
            'chunk_' || searched_generation,
            distance,
            CASE WHEN filter IS NOT NULL THEN 'WHERE filters @@ $2' ELSE '' END,
            CASE plan
                WHEN 'hnsw' THEN rankgres.generation_hnsw_order_v1(generation, '$1')
                -- An expression that no index has, and no choice left between equals.
                ELSE '0 + ' || distance || ', document_id COLLATE "C", position'
            END,
            oversampling
        )
        INTO document_ids, positions, distances
        USING query_embedding, filter, chunks_wanted;
        documents_found := (SELECT count(DISTINCT id) FROM unnest(document_ids) AS id);

        IF plan = 'hnsw' AND coalesce(cardinality(document_ids), 0) < least(chunks_wanted, chunk_total)
        THEN
            plan := 'hnsw+exact';
            CONTINUE;
        END IF;
        EXIT WHEN documents_found >= candidates
            OR coalesce(cardinality(document_ids), 0) < chunks_wanted
            OR chunks_wanted >= chunk_total;
        chunks_wanted := 2 * chunks_wanted;
    END LOOP;
    PERFORM set_config(key, value, true) FROM jsonb_each_text(settings_before);
    PERFORM set_config('rankgres.vector_plan', plan, true);

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
