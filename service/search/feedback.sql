-- name: embeddings
-- The embeddings of passages that are there, with their numbers in the list, from 1.
SELECT found.number, found.embedding
FROM rankgres.chunk_embeddings_v1(
    %(generation_id)s,
    %(document_ids)s::text [],
    %(positions)s::integer []
) AS found
