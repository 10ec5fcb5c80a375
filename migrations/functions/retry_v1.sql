-- Tries documents that failed again, at once and as if for the first time, and returns how many there
-- were: those named, or all of the collection that are dead letters. One that a worker holds at this
-- moment is left to it. All at once they stay behind what somebody waits for; named ones do not. Who
-- may: see source_authorize.
CREATE FUNCTION rankgres.retry_v1(
    collection text,
    document_ids text [] DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql
-- Whoever attached a collection has no rights on the outbox.
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    steered constant bigint := rankgres.source_authorize_v1(retry_v1.collection);
    retried bigint;
    retried_generation bigint;
BEGIN
    WITH failed AS (
        SELECT outbox.generation_id, outbox.document_id
        FROM rankgres.outbox
        JOIN rankgres.generation ON generation.id = outbox.generation_id
        WHERE generation.collection_id = steered
            -- The key of a longer one fits no index of chunks.
            AND octet_length(outbox.document_id) <= 1024
            AND CASE
                WHEN retry_v1.document_ids IS NULL THEN outbox.dead_at IS NOT NULL
                ELSE outbox.document_id = ANY (retry_v1.document_ids)
                    AND outbox.last_error IS NOT NULL
                    AND (outbox.lease IS NULL OR outbox.due_at <= clock_timestamp())
            END
        ORDER BY outbox.generation_id, outbox.document_id
        FOR UPDATE OF outbox
    ),
    revived AS (
        UPDATE rankgres.outbox SET
            version = nextval('rankgres.outbox_version'),
            due_at = clock_timestamp(),
            lease = NULL,
            attempts = 0,
            last_error = NULL,
            dead_at = NULL,
            priority = CASE WHEN retry_v1.document_ids IS NULL THEN 1 ELSE 0 END
        FROM failed
        WHERE outbox.generation_id = failed.generation_id
            AND outbox.document_id = failed.document_id
        RETURNING outbox.document_id
    )
    SELECT count(DISTINCT revived.document_id) INTO retried FROM revived;
    FOR retried_generation IN
        SELECT id FROM rankgres.generation WHERE collection_id = steered AND retried > 0
    LOOP
        PERFORM pg_notify('rankgres_outbox', retried_generation::text);
    END LOOP;
    RETURN retried;
END
$function$;

-- The public name. It stays while versions come and go behind it.
CREATE FUNCTION rankgres.retry(
    collection text,
    document_ids text [] DEFAULT NULL
) RETURNS bigint
LANGUAGE sql
AS $function$
    SELECT rankgres.retry_v1(collection, document_ids)
$function$;
