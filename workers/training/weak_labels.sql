-- name: chunks
-- Every chunk of a generation, in an order that is that of no document and always the same.
SELECT document_id, position, heading, text
FROM rankgres.chunk
WHERE generation_id = %(generation_id)s
ORDER BY md5(document_id || ' ' || position), document_id, position

-- name: headings
-- The headings of each document.
SELECT document_id, array_agg(DISTINCT heading)
FROM rankgres.chunk
WHERE generation_id = %(generation_id)s AND heading <> ''
GROUP BY document_id
