-- name: verify
-- What differs between source and index, a row a kind.
SELECT found.kind, found.documents, found.examples
FROM rankgres.verify(%(collection)s, repair => %(repair)s) AS found

-- name: mark_verified
UPDATE rankgres.collection SET verified_at = clock_timestamp() WHERE name = %(collection)s

-- name: due
-- The collection that was not verified for longest, unless another process is at it.
SELECT due.name
FROM (
    SELECT collection.id, collection.name
    FROM rankgres.collection
    WHERE coalesce(collection.verified_at, collection.created_at)
            < clock_timestamp() - make_interval(secs => 3600 * %(hours)s)
        AND collection.paused_at IS NULL
    ORDER BY coalesce(collection.verified_at, collection.created_at)
    LIMIT 1
) AS due
WHERE pg_try_advisory_xact_lock(hashtextextended('rankgres.verify', due.id))
