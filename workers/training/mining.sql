-- name: candidates
-- The best passage of each candidate document, as a search would have it.
SELECT document_id, heading, text, score, vector_score
FROM rankgres.search_candidates(
    %(collection)s,
    %(query)s,
    query_embedding => %(query_embedding)s::vector,
    candidates => %(candidates)s
)
WHERE passage = 1
ORDER BY rank

-- name: stored
-- Of each document the chunk at the given position, or where none is given the nearest.
SELECT DISTINCT ON (chunk.document_id)
    chunk.document_id,
    chunk.heading,
    chunk.text,
    NULL::double precision AS score,
    1 - (coalesce(chunk.embedding_full, chunk.embedding::vector) <=> %(query_embedding)s::vector)
        AS similarity
FROM unnest(%(documents)s::text [], %(positions)s::integer []) AS wanted (document_id, position)
JOIN rankgres.chunk ON chunk.document_id = wanted.document_id
WHERE
    chunk.generation_id = %(generation_id)s
    AND (wanted.position IS NULL OR chunk.position = wanted.position)
ORDER BY
    chunk.document_id,
    coalesce(chunk.embedding_full, chunk.embedding::vector) <=> %(query_embedding)s::vector
