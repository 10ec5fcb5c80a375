-- Detaches a relation: its triggers and their functions go, and with them the collection; where the
-- index is kept it can be searched as it is, and is never embedded again. The relation stays as it was
-- before it was attached.
CREATE FUNCTION rankgres.detach_v1(detached_collection text, keep boolean) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    detached bigint;
    operation text;
BEGIN
    detached := rankgres.source_authorize_v1(detached_collection);
    -- First, as where a collection is dropped: nobody deadlocks.
    PERFORM FROM rankgres.collection WHERE id = detached FOR UPDATE;
    IF NOT EXISTS (SELECT FROM rankgres.source WHERE collection_id = detached) THEN
        RAISE EXCEPTION 'collection "%" is not attached to anything', detached_collection
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'collection',
                HINT = 'rankgres collection drop drops a managed collection';
    END IF;
    IF NOT keep THEN
        PERFORM rankgres.collection_drop_v2(detached_collection);
        RETURN;
    END IF;
    -- A step of a backfill and a comparison hold their rows here, and then read the table: waited for
    -- before that is locked.
    PERFORM FROM rankgres.source WHERE collection_id = detached FOR UPDATE;
    PERFORM FROM rankgres.backfill
    JOIN rankgres.generation ON generation.id = backfill.generation_id
    WHERE generation.collection_id = detached
    FOR UPDATE OF backfill;
    FOREACH operation IN ARRAY '{insert,update,delete,truncate}'::text [] LOOP
        -- Takes the triggers along. Its lock is held to the end of the transaction.
        EXECUTE format('DROP FUNCTION IF EXISTS rankgres.source_%s_%s() CASCADE', detached, operation);
    END LOOP;
    UPDATE rankgres.collection SET detached_at = now() WHERE id = detached;
    DELETE FROM rankgres.source WHERE collection_id = detached;
    DELETE FROM rankgres.source_change WHERE collection_id = detached;
    DELETE FROM rankgres.backfill USING rankgres.generation
    WHERE generation.id = backfill.generation_id AND generation.collection_id = detached;
    DELETE FROM rankgres.outbox USING rankgres.generation
    WHERE generation.id = outbox.generation_id AND generation.collection_id = detached;
END
$function$;

-- The public name. It stays while versions come and go behind it.
CREATE FUNCTION rankgres.detach(collection text, keep boolean DEFAULT false) RETURNS void
LANGUAGE sql
AS $function$
    SELECT rankgres.detach_v1(collection, keep)
$function$;
