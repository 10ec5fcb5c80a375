-- name: make_upload
-- Where COPY puts a batch before it is compared with what is there.
CREATE TEMPORARY TABLE upload (
    place integer, id text, title text, text text, metadata jsonb
) ON COMMIT DROP

-- name: copy_upload
COPY pg_temp.upload (place, id, title, text, metadata) FROM STDIN

-- name: upsert
-- Writes the batch; of a key given twice the last wins. Unchanged documents are left alone, so they
-- are not embedded again.
INSERT INTO rankgres.document AS document (collection_id, id, title, text, metadata)
SELECT DISTINCT ON (upload.id)
    %(collection_id)s, upload.id, upload.title, upload.text, upload.metadata
FROM pg_temp.upload
ORDER BY upload.id, upload.place DESC
ON CONFLICT (collection_id, id) DO UPDATE SET
    title = excluded.title,
    text = excluded.text,
    metadata = excluded.metadata,
    updated_at = now()
WHERE (document.title, document.text, document.metadata)
    IS DISTINCT FROM (excluded.title, excluded.text, excluded.metadata)

-- name: delete
DELETE FROM rankgres.document
WHERE collection_id = %(collection_id)s AND id = ANY (%(ids)s)

-- name: fetch
-- The documents as they are now; one that is gone is not among them.
SELECT id, title, text, metadata
FROM rankgres.document
WHERE collection_id = %(collection_id)s AND id = ANY (%(ids)s)
ORDER BY id

-- name: waiting
-- How many of the documents are not searchable yet, and which of them have failed for good.
SELECT
    count(*) FILTER (WHERE dead_at IS NULL) AS waiting,
    coalesce(array_agg(document_id) FILTER (WHERE dead_at IS NOT NULL), '{}') AS dead
FROM rankgres.outbox
WHERE generation_id = %(generation_id)s AND document_id = ANY (%(ids)s)
