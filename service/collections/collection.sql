-- name: create
-- Makes a collection with its first generation, active at once.
SELECT rankgres.collection_create_v2(
    %(name)s,
    embedding_model => %(embedding_model)s,
    embedding_dimension => %(embedding_dimension)s,
    chunk_tokens => %(chunk_tokens)s,
    overlap_tokens => %(overlap_tokens)s,
    storage_type => %(storage_type)s,
    distance => %(distance)s,
    text_search_config => %(text_search_config)s,
    bm25_k1 => %(bm25_k1)s,
    bm25_b => %(bm25_b)s,
    lexical_index => %(lexical_index)s
)

-- name: set_profile
-- The parameters that a new collection's searches start with.
UPDATE rankgres.collection SET search_profile = %(profile)s WHERE name = %(name)s

-- name: drop
-- Drops a collection and all that belongs to it.
SELECT rankgres.collection_drop_v2(%(name)s)

-- name: status
-- What the status view says of active generations, of one collection or of all.
SELECT
    status.collection, status.generation_id, status.embedding_model, status.hnsw_state,
    status.documents, status.chunks, status.pending, status.leased, status.dead,
    extract(EPOCH FROM status.oldest_age)::double precision AS oldest_seconds,
    generation.recall, generation.recall_k,
    status.paused, status.source, status.backfill_done, status.backfill_total, status.rate,
    status.seconds_left, extract(EPOCH FROM status.lag)::double precision AS lag_seconds
FROM rankgres.collection_status AS status
JOIN rankgres.generation ON generation.id = status.generation_id
WHERE status.state = 'active' AND (%(name)s::text IS NULL OR status.collection = %(name)s)
ORDER BY status.collection

-- name: active_generation
-- The generation that searches of a collection use.
SELECT
    generation.id, generation.collection_id, collection.name AS collection,
    generation.embedding_model, generation.embedding_dimension, generation.chunk_tokens,
    generation.overlap_tokens, generation.text_search_config
FROM rankgres.generation
JOIN rankgres.collection ON collection.id = generation.collection_id
WHERE collection.name = %(name)s AND generation.state = 'active'

-- name: generation
-- One generation by its id.
SELECT
    generation.id, generation.collection_id, collection.name AS collection,
    generation.embedding_model, generation.embedding_dimension, generation.chunk_tokens,
    generation.overlap_tokens, generation.text_search_config
FROM rankgres.generation
JOIN rankgres.collection ON collection.id = generation.collection_id
WHERE generation.id = %(id)s
