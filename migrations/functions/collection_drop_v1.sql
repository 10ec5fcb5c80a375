-- Drops a collection with its documents, generations and chunks, and returns whether it existed.
CREATE FUNCTION rankgres.collection_drop_v1(collection_name text) RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    dropped_collection bigint;
    dropped_generations bigint [];
    dropped_generation bigint;
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
    RETURN true;
END
$function$;
