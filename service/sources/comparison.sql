-- name: due
-- Sources whose time has passed, or with a change that only comparing finds. A relation without
-- triggers is compared once as soon as it is attached. After an error there is a pause.
SELECT source.collection_id, collection.name
FROM rankgres.source
JOIN rankgres.collection ON collection.id = source.collection_id
WHERE (
        source.compare_error IS NULL
        OR coalesce(source.compared_at, '-infinity') < clock_timestamp() - interval '30 seconds'
    )
    -- What a backfill has not reached differs as a matter of course.
    AND NOT EXISTS (
        SELECT FROM rankgres.backfill
        JOIN rankgres.generation ON generation.id = backfill.generation_id
        WHERE generation.collection_id = source.collection_id AND backfill.finished_at IS NULL
    )
    AND (
        coalesce(
            source.compared_at,
            CASE source.sync WHEN 'triggers' THEN source.attached_at ELSE '-infinity' END
        ) < clock_timestamp() - source.compare_every
        OR EXISTS (
            SELECT FROM rankgres.source_change
            WHERE source_change.collection_id = source.collection_id
                AND source_change.document_ids IS NULL
        )
    )
ORDER BY source.compared_at NULLS FIRST

-- name: unknown
-- What only comparing finds; workers read again what they hold.
SELECT rankgres.source_changes_unknown_v1(%(collection_id)s)

-- name: compare
-- Queues what differs, unless another process is at it.
SELECT rankgres.source_compare_v1(%(collection_id)s, %(unknown_changes)s)

-- name: error
-- What kept the last comparison from its end, or a key that is too long to be indexed.
SELECT source.compare_error FROM rankgres.source WHERE source.collection_id = %(collection_id)s
