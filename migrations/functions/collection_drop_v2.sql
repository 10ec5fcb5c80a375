-- Drops a collection with its documents, generations and chunks, and returns whether it existed. The
-- triggers go from a relation that it is attached to; nothing else of that changes.
CREATE FUNCTION rankgres.collection_drop_v2(collection_name text) RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    dropped_collection bigint;
    dropped_generations bigint [];
    dropped_generation bigint;
    operation text;
BEGIN
    SELECT id INTO dropped_collection FROM rankgres.collection
    WHERE name = collection_name
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    dropped_generations := ARRAY(
        SELECT id FROM rankgres.generation WHERE collection_id = dropped_collection
    );
    -- A build of an HNSW index waits for every older transaction, such as this one: end it, or each
    -- waits for the other. Before anything is locked that a build about to finish still needs.
    FOREACH dropped_generation IN ARRAY dropped_generations LOOP
        WHILE NOT pg_try_advisory_xact_lock(
            hashtextextended('rankgres.hnsw_index', dropped_generation)
        ) LOOP
            PERFORM pg_cancel_backend(pid)
            FROM pg_stat_progress_create_index
            WHERE relid = to_regclass(format('rankgres.%I', 'chunk_' || dropped_generation));
            PERFORM pg_sleep(0.02);
        END LOOP;
        -- Verifying reads the chunks for minutes: waited for here, where nobody waits behind us, and not
        -- where DROP TABLE holds every search up.
        WHILE NOT pg_try_advisory_xact_lock(
            hashtextextended('rankgres.generation_verify', dropped_generation)
        ) LOOP
            PERFORM pg_cancel_backend(pid)
            FROM pg_locks
            WHERE locktype = 'advisory'
                AND granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND ((classid::bigint << 32) | objid::bigint)
                    = hashtextextended('rankgres.generation_verify', dropped_generation);
            PERFORM pg_sleep(0.02);
        END LOOP;
    END LOOP;
    -- A step of a backfill and a comparison hold their rows here, and then read the table: waited for
    -- before that is locked.
    PERFORM FROM rankgres.source WHERE collection_id = dropped_collection FOR UPDATE;
    PERFORM FROM rankgres.backfill WHERE generation_id = ANY (dropped_generations) FOR UPDATE;
    -- Takes the triggers along. Their table is locked from here on, and no sooner.
    FOREACH operation IN ARRAY '{insert,update,delete,truncate}'::text [] LOOP
        EXECUTE format(
            'DROP FUNCTION IF EXISTS rankgres.source_%s_%s() CASCADE', dropped_collection, operation
        );
    END LOOP;
    -- Generations first: the documents that the collection takes along are then queued for nobody.
    DELETE FROM rankgres.generation WHERE collection_id = dropped_collection;
    DELETE FROM rankgres.collection WHERE id = dropped_collection;
    FOREACH dropped_generation IN ARRAY dropped_generations LOOP
        -- Waits for a running statistics_fold, whose new rows could not be seen below.
        PERFORM pg_advisory_xact_lock(
            hashtextextended('rankgres.statistics_fold', dropped_generation)
        );
        EXECUTE format('DROP TABLE rankgres.%I', 'chunk_' || dropped_generation);
    END LOOP;
    DELETE FROM rankgres.outbox WHERE generation_id = ANY (dropped_generations);
    DELETE FROM rankgres.lexeme WHERE generation_id = ANY (dropped_generations);
    DELETE FROM rankgres.lexeme_change WHERE generation_id = ANY (dropped_generations);
    DELETE FROM rankgres.chunk_total WHERE generation_id = ANY (dropped_generations);
    DELETE FROM rankgres.chunk_total_change WHERE generation_id = ANY (dropped_generations);
    DELETE FROM rankgres.indexed_document WHERE generation_id = ANY (dropped_generations);
    DELETE FROM rankgres.indexing_activity WHERE generation_id = ANY (dropped_generations);
    DELETE FROM rankgres.source_change WHERE collection_id = dropped_collection;
    RETURN true;
END
$function$;
