-- Moves what triggers on attached tables appended to the outbox of every live generation, at most
-- max_rows rows of source_change with a thousand documents each, oldest first; returns which generations
-- have how many documents more to do. Rows that another relay is moving are skipped. Rows without ids
-- wait for source_compare.
--
-- A document queued already gets a new version and keeps its lease, so that the worker holding it
-- finds out when it finishes. Ids of more than 1,024 bytes become dead letters, see outbox_queue; of
-- longer ones than that can hold only a word is left in source.compare_error.
CREATE FUNCTION rankgres.source_change_fold_v1(max_rows integer)
RETURNS TABLE (generation_id bigint, documents bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
DECLARE
    too_long constant text := 'its key has more than 1024 bytes';
BEGIN
    RETURN QUERY
    WITH taken AS (
        SELECT id FROM rankgres.source_change
        WHERE document_ids IS NOT NULL
        ORDER BY id
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    ),
    moved AS (
        DELETE FROM rankgres.source_change USING taken WHERE source_change.id = taken.id
        RETURNING source_change.collection_id, source_change.changed_at, source_change.document_ids
    ),
    changed AS (
        SELECT generation.id AS generation_id, given.id AS document_id, min(moved.changed_at) AS changed_at
        FROM moved
        JOIN rankgres.generation ON
            generation.collection_id = moved.collection_id
            AND generation.state IN ('building', 'active')
        CROSS JOIN LATERAL unnest(moved.document_ids) AS given (id)
        WHERE octet_length(given.id) <= 2600
        GROUP BY generation.id, given.id
    ),
    warned AS (
        UPDATE rankgres.source SET compare_error = 'a key has more than 2600 bytes: ' || too_big.beginning
        FROM (
            SELECT moved.collection_id, max(left(given.id, 100)) AS beginning
            FROM moved
            CROSS JOIN LATERAL unnest(moved.document_ids) AS given (id)
            WHERE octet_length(given.id) > 2600
            GROUP BY moved.collection_id
        ) AS too_big
        WHERE source.collection_id = too_big.collection_id
    ),
    queued AS (
        INSERT INTO rankgres.outbox (
            generation_id, document_id, enqueued_at, priority, last_error, dead_at
        )
        SELECT
            changed.generation_id, changed.document_id, changed.changed_at, 0,
            CASE WHEN octet_length(changed.document_id) > 1024 THEN too_long END,
            CASE WHEN octet_length(changed.document_id) > 1024 THEN clock_timestamp() END
        FROM changed
        -- Everybody in the same order: nobody deadlocks.
        ORDER BY changed.generation_id, changed.document_id
        ON CONFLICT (generation_id, document_id) DO UPDATE SET
            version = nextval('rankgres.outbox_version'),
            enqueued_at = excluded.enqueued_at,
            due_at = CASE WHEN outbox.lease IS NULL THEN clock_timestamp() ELSE outbox.due_at END,
            attempts = 0,
            last_error = excluded.last_error,
            dead_at = excluded.dead_at,
            priority = 0
        RETURNING outbox.generation_id
    )
    SELECT queued.generation_id, count(*) FROM queued GROUP BY queued.generation_id;
END
$function$;
