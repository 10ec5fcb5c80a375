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

-- name: source
-- The relation that a collection is attached to, and how its text is written; no row: a managed one.
SELECT source.relation::text, source.text_format
FROM rankgres.source
WHERE source.collection_id = %(collection_id)s

-- name: fetch
-- The documents as they are in their source now; one that is gone is not among them.
SELECT document_id, title, text, metadata
FROM rankgres.source_documents_v1(%(collection_id)s, %(ids)s)

-- name: fetch_to_index
-- The same as a worker wants it: no more than it should hold in memory at once. Of the rest, after
-- the first in the order of their ids, nothing but the id.
SELECT
    found.document_id,
    found.title,
    CASE WHEN found.fits THEN found.text END,
    CASE WHEN found.fits THEN found.metadata::text END,
    found.content_hash,
    found.fits
FROM (
    SELECT
        document.*,
        row_number() OVER by_id = 1
            OR sum(length(document.text)) OVER by_id <= %(max_characters)s AS fits
    FROM rankgres.source_documents_v1(%(collection_id)s, %(ids)s) AS document
    WINDOW by_id AS (ORDER BY document.document_id)
) AS found

-- name: waiting
-- How many of the documents are not searchable yet, and which of them have failed for good. A change
-- that triggers noted waits too, and one of which they could not tell what it touched may be of any.
WITH given AS (
    SELECT DISTINCT id FROM unnest(%(ids)s::text []) AS given (id)
),
changed AS (
    SELECT unnest(document_ids) AS id
    FROM rankgres.source_change
    WHERE collection_id = %(collection_id)s
),
noted AS (
    SELECT given.id
    FROM given
    WHERE given.id IN (SELECT changed.id FROM changed)
        OR EXISTS (
            SELECT FROM rankgres.source_change
            WHERE collection_id = %(collection_id)s AND document_ids IS NULL
        )
),
queued AS (
    SELECT given.id, outbox.dead_at IS NOT NULL AS dead
    FROM given
    JOIN rankgres.outbox ON outbox.document_id = given.id
    WHERE outbox.generation_id = %(generation_id)s
)
SELECT
    count(*) FILTER (WHERE noted.id IS NOT NULL OR NOT queued.dead) AS waiting,
    coalesce(array_agg(queued.id) FILTER (WHERE noted.id IS NULL AND queued.dead), '{}') AS dead
FROM noted
FULL JOIN queued ON queued.id = noted.id
