-- name: save
-- Keeps a list for its further pages.
INSERT INTO rankgres.search_snapshot (id, generation_id, expires_at, request, ranking)
VALUES (
    %(id)s,
    %(generation_id)s,
    clock_timestamp() + make_interval(secs => %(seconds)s),
    %(request)s,
    %(ranking)s
)

-- name: open
-- The documents of a page with their places, while the list is kept; keeps it for longer.
UPDATE rankgres.search_snapshot AS snapshot
SET expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
FROM rankgres.generation
JOIN rankgres.collection ON collection.id = generation.collection_id
WHERE snapshot.id = %(id)s
    AND snapshot.expires_at > clock_timestamp()
    AND generation.id = snapshot.generation_id
    AND collection.name = %(collection)s
RETURNING
    snapshot.generation_id,
    snapshot.request,
    jsonb_array_length(snapshot.ranking),
    jsonb_path_query_array(
        snapshot.ranking,
        '$[$first to $last]',
        jsonb_build_object('first', %(first)s::integer, 'last', %(last)s::integer)
    )

-- name: passages
-- The passages to show as they are now, in order. Where a document has none of them any more and is
-- still there, it shows its first.
WITH shown AS (
    SELECT * FROM unnest(
        %(places)s::integer [], %(passages)s::integer [],
        %(document_ids)s::text [], %(positions)s::integer []
    ) AS shown (place, passage, document_id, position)
),
found AS (
    SELECT
        shown.place, shown.passage, chunk.position, chunk.heading, chunk.text,
        chunk.start_offset, chunk.end_offset, chunk.filters
    FROM shown
    JOIN rankgres.chunk ON
        chunk.generation_id = %(generation_id)s
        AND chunk.document_id = shown.document_id
        AND chunk.position = shown.position
)
SELECT * FROM found
UNION ALL
SELECT
    changed.place, 1, chunk.position, chunk.heading, chunk.text,
    chunk.start_offset, chunk.end_offset, chunk.filters
FROM (
    SELECT place, document_id FROM shown
    WHERE passage = 1 AND place NOT IN (SELECT place FROM found)
) AS changed
CROSS JOIN LATERAL (
    SELECT * FROM rankgres.chunk
    WHERE chunk.generation_id = %(generation_id)s AND chunk.document_id = changed.document_id
    ORDER BY chunk.position
    LIMIT 1
) AS chunk
ORDER BY place, passage

-- name: sweep
-- Removes the lists that have expired.
DELETE FROM rankgres.search_snapshot WHERE expires_at <= clock_timestamp()
