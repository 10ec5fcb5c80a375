-- Puts a collection's triggers on tables that lack them: partitions that came since it was attached.
-- Returns what is wrong, or NULL. What was written to them before is found by one more comparison.
--
-- Postgres refuses changes of foreign partitions through a table with such triggers: where one was
-- attached the triggers go, and the relation is compared from then on.
--
-- It waits 50 ms for the lock on a table, since others queue up behind it, and tries again the next
-- time.
CREATE FUNCTION rankgres.source_follow_v1(followed_collection bigint) RETURNS text
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET lock_timeout = '50ms'
AS $function$
DECLARE
    followed oid;
    operation text;
BEGIN
    SELECT relation INTO followed FROM rankgres.source
    WHERE collection_id = followed_collection AND sync = 'triggers';
    IF NOT FOUND OR NOT EXISTS (SELECT FROM pg_class WHERE oid = followed) THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM rankgres.source_tables_v1(followed) WHERE kind = 'f') THEN
        FOREACH operation IN ARRAY '{insert,update,delete,truncate}'::text [] LOOP
            EXECUTE format(
                'DROP FUNCTION IF EXISTS rankgres.source_%s_%s() CASCADE', followed_collection, operation
            );
        END LOOP;
        UPDATE rankgres.source
        SET sync = 'comparison', compare_every = least(compare_every, interval '5 min')
        WHERE collection_id = followed_collection;
        INSERT INTO rankgres.source_change (collection_id, reason)
        VALUES (followed_collection, 'a foreign partition');
    ELSIF rankgres.source_attach_triggers_v1(followed_collection, followed) > 0 THEN
        INSERT INTO rankgres.source_change (collection_id, reason)
        VALUES (followed_collection, 'a new partition');
    END IF;
    RETURN NULL;
EXCEPTION
    WHEN lock_not_available THEN
        RETURN 'a new partition was locked, and gets its triggers the next time';
    WHEN insufficient_privilege THEN
        RETURN format(
            'a new partition has no triggers (%s): GRANT TRIGGER on it TO %I', SQLERRM, current_user
        );
END
$function$;
