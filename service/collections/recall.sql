-- name: generation
-- What has to be known of a generation to measure it, with the width its searches are given.
SELECT
    generation.id, collection.name AS collection, generation.embedding_dimension,
    generation.storage_type, generation.distance, generation.hnsw_state,
    (collection.search_profile ->> 'ef_search')::integer AS ef_search,
    coalesce(sum(total.chunk_count), 0)::bigint AS chunks,
    coalesce(sum(total.document_count), 0)::bigint AS documents
FROM rankgres.generation
JOIN rankgres.collection ON collection.id = generation.collection_id
LEFT JOIN LATERAL (
    SELECT chunk_count, document_count FROM rankgres.chunk_total
    WHERE chunk_total.generation_id = generation.id
    UNION ALL
    SELECT chunk_count, document_count FROM rankgres.chunk_total_change
    WHERE chunk_total_change.generation_id = generation.id
) AS total ON true
WHERE generation.id = %(generation_id)s
GROUP BY generation.id, collection.id

-- name: sample
-- Some chunks' embeddings, from all over the table and the same every time.
SELECT
    document_id,
    CASE WHEN embedding_full IS NULL THEN halfvec_send(embedding) ELSE vector_send(embedding_full) END
FROM rankgres.chunk TABLESAMPLE SYSTEM (%(percent)s) REPEATABLE (1)
WHERE generation_id = %(generation_id)s
ORDER BY md5(document_id), document_id COLLATE "C", position
LIMIT %(sample)s

-- name: embeddings
-- Every embedding of a generation.
SELECT
    document_id,
    CASE WHEN embedding_full IS NULL THEN halfvec_send(embedding) ELSE vector_send(embedding_full) END
FROM rankgres.chunk
WHERE generation_id = %(generation_id)s

-- name: search
-- The vector stage, as searches use it.
SELECT found.document_id, found.score
FROM rankgres.search_vector_v2(
    %(generation_id)s,
    %(query_embedding)s::vector,
    %(candidates)s,
    ef_search => %(ef_search)s
) AS found

-- name: explain
SELECT current_setting('rankgres.vector_explain')::jsonb

-- name: store
-- Of a generation without an index there is nothing to store.
UPDATE rankgres.generation
SET recall = %(recall)s, recall_k = %(k)s, recall_measured_at = clock_timestamp()
WHERE id = %(generation_id)s AND hnsw_state = 'ready'
