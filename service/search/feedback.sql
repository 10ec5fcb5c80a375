-- name: excludes
-- Whether a question says what it is not about.
SELECT rankgres.query_unexcluded_v1(%(meaning)s) <> %(meaning)s

-- name: embeddings
-- The embeddings of passages that are there, with their numbers in the list, from 1.
SELECT found.number, found.embedding
FROM rankgres.chunk_embeddings_v1(
    %(generation_id)s,
    %(document_ids)s::text [],
    %(positions)s::integer []
) AS found
