-- Compares an attached relation with what is indexed of it, in one snapshot, and queues every document
-- that differs and is not queued yet; returns how many. unknown_changes are found by that: they come
-- from source_changes_unknown, in a transaction that was committed before. What keeps it from comparing
-- stands in source.compare_error; nothing is lost then, and indexed documents stay.
--
-- A backfill goes first: what it has not reached differs as a matter of course. A comparison that runs
-- already is left to itself. At the end tables that became partitions since get their triggers: see
-- source_follow.
CREATE FUNCTION rankgres.source_compare_v1(
    compared_collection bigint,
    unknown_changes bigint []
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
    queued bigint := 0;
    failure text;
BEGIN
    IF NOT EXISTS (SELECT FROM rankgres.source WHERE collection_id = compared_collection)
        OR EXISTS (
            SELECT FROM rankgres.backfill
            JOIN rankgres.generation ON generation.id = backfill.generation_id
            WHERE generation.collection_id = compared_collection AND finished_at IS NULL
        )
        OR NOT pg_try_advisory_xact_lock(
            hashtextextended('rankgres.source_compare', compared_collection)
        )
    THEN
        RETURN 0;
    END IF;
    BEGIN
        PERFORM rankgres.source_store_v1(compared_collection);
        BEGIN
            SELECT * INTO queued, failure FROM rankgres.source_queue_difference_v1(
                compared_collection, rankgres.source_statement_v1(compared_collection, 'hashes')
            );
        EXCEPTION
            WHEN data_exception OR program_limit_exceeded OR internal_error OR raise_exception THEN
                -- A row that cannot be read is queued, and becomes a dead letter.
                SELECT * INTO queued, failure FROM rankgres.source_queue_difference_v1(
                    compared_collection,
                    format('SELECT * FROM rankgres.source_hashes_apart_v1(%s)', compared_collection)
                );
        END;
        DELETE FROM rankgres.source_change WHERE id = ANY (unknown_changes);
    EXCEPTION WHEN OTHERS THEN
        failure := SQLERRM;
        queued := 0;
    END;
    failure := concat_ws('; ', failure, rankgres.source_follow_v1(compared_collection));
    UPDATE rankgres.source SET compared_at = clock_timestamp(), compare_error = nullif(failure, '')
    WHERE collection_id = compared_collection;
    RETURN queued;
END
$function$;
