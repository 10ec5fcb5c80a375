-- Queues the next rows of a source that were there before it was attached, in the order of an index on
-- the key, at most batch_rows; returns how many it went through, 0 where there is nothing to do now. It
-- waits while queue_limit of them are due, while the collection is paused, and for the throttle; it
-- leaves a backfill that another relay is at alone. A row that is written meanwhile is queued by its
-- trigger, before or behind the key that was reached.
CREATE FUNCTION rankgres.backfill_step_v1(
    filled_generation bigint,
    batch_rows integer,
    queue_limit integer
) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres'
SET extra_float_digits = 1
SET bytea_output = 'hex'
AS $function$
DECLARE
    state rankgres.backfill;
    source_collection bigint;
    -- Where the throttle stands: rows are let through from this moment on.
    since timestamptz;
    allowed bigint;
    waiting bigint;
    found_ids text [];
    found_rows bigint;
    last_key text [];
BEGIN
    SELECT * INTO state FROM rankgres.backfill
    WHERE generation_id = filled_generation AND finished_at IS NULL
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT collection.id INTO source_collection
    FROM rankgres.generation
    JOIN rankgres.collection ON collection.id = generation.collection_id
    JOIN rankgres.source ON source.collection_id = collection.id
    WHERE generation.id = filled_generation AND collection.paused_at IS NULL;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT count(*) INTO waiting FROM (
        SELECT FROM rankgres.outbox
        WHERE generation_id = filled_generation AND priority = 1 AND dead_at IS NULL
        LIMIT queue_limit
    ) AS queued;
    allowed := least(batch_rows, queue_limit - waiting);
    IF state.rows_per_second IS NOT NULL THEN
        -- No more than what a second lets through at once, also after a rest.
        since := greatest(
            coalesce(state.stepped_at, state.started_at),
            clock_timestamp() - interval '1 s' * greatest(1, 1 / state.rows_per_second)
        );
        allowed := least(
            allowed,
            floor(state.rows_per_second * extract(EPOCH FROM clock_timestamp() - since) + 1e-6)
        );
    END IF;
    IF allowed < 1 THEN
        RETURN 0;
    END IF;
    BEGIN
        EXECUTE rankgres.backfill_statement_v1(source_collection, state.after_key IS NULL, true)
        INTO found_ids, found_rows, last_key
        USING state.after_key, allowed;
    EXCEPTION WHEN data_exception THEN
        -- The condition fails for one of the rows: that is the worker's to find out, of that row alone.
        EXECUTE rankgres.backfill_statement_v1(source_collection, state.after_key IS NULL, false)
        INTO found_ids, found_rows, last_key
        USING state.after_key, allowed;
    END;
    PERFORM rankgres.outbox_queue_v1(filled_generation, found_ids, 1::smallint);
    UPDATE rankgres.backfill SET
        after_key = coalesce(last_key, after_key),
        queued_rows = queued_rows + found_rows,
        stepped_at = CASE
            WHEN rows_per_second IS NULL THEN clock_timestamp()
            ELSE since + interval '1 s' * (found_rows / rows_per_second)
        END,
        finished_at = CASE WHEN found_rows < allowed THEN clock_timestamp() END
    WHERE generation_id = filled_generation;
    RETURN found_rows;
END
$function$;
