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
-- Named here so that what is set below is undone when the function returns.
SET hnsw.iterative_scan = 'relaxed_order'
SET hnsw.ef_search = 40
SET hnsw.max_scan_tuples = 20000
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
BEGIN
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = searched_generation;
    IF vector_dims(query_embedding) <> generation.embedding_dimension THEN
        RAISE EXCEPTION 'query_embedding has % dimensions, the collection''s embeddings have %',
            vector_dims(query_embedding), generation.embedding_dimension
            USING ERRCODE = 'invalid_parameter_value',
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
                -- An expression that no index has.
                ELSE '0 + ' || distance
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
    PERFORM set_config('rankgres.vector_plan', plan, true);

    RETURN QUERY
    WITH placed AS (
        SELECT
            nearest.document_id,
            nearest.position,
            CASE generation.distance
                WHEN 'cosine' THEN 1 - nearest.distance
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
