-- Queues documents of a generation that are not queued yet, in the order of their ids so that no two
-- who do it wait for each other, and returns how many it queued. priority 1 lets changes that somebody
-- waits for go first.
--
-- An id of more than 1,024 bytes fits no index of chunks: it becomes a dead letter; one of more than
-- 2,600 not even that, and is left out.
CREATE FUNCTION rankgres.outbox_queue_v1(
    queued_generation bigint,
    document_ids text [],
    queued_priority smallint DEFAULT 1
) RETURNS bigint
LANGUAGE sql
SET search_path FROM CURRENT
AS $function$
    WITH queued AS (
        INSERT INTO rankgres.outbox (generation_id, document_id, priority, last_error, dead_at)
        SELECT
            queued_generation, id, queued_priority,
            CASE WHEN octet_length(id) > 1024 THEN 'its key has more than 1024 bytes' END,
            CASE WHEN octet_length(id) > 1024 THEN clock_timestamp() END
        FROM (SELECT DISTINCT unnest(document_ids) AS id) AS given
        WHERE octet_length(id) <= 2600
        ORDER BY id
        ON CONFLICT (generation_id, document_id) DO NOTHING
        RETURNING dead_at
    )
    SELECT count(*) FROM queued WHERE dead_at IS NULL
$function$;
