-- Puts an attached collection's triggers on those of its tables that lack them, with the rights of
-- whoever calls, and returns on how many. Where these own the table, triggers fire for replicated rows
-- too (ENABLE ALWAYS). Somebody who may not raises insufficient_privilege.
CREATE FUNCTION rankgres.source_attach_triggers_v1(
    attached_collection bigint,
    source_relation oid
) RETURNS integer
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    tables integer := 0;
    lacks boolean;
    target regclass;
    operation text;
    sees text;
    trigger_name text;
BEGIN
    FOR target IN
        SELECT relation FROM rankgres.source_tables_v1(source_relation) WHERE kind IN ('r', 'p')
    LOOP
        lacks := false;
        FOR operation, sees IN VALUES
            ('insert', 'REFERENCING NEW TABLE AS new_rows'),
            ('update', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'),
            ('delete', 'REFERENCING OLD TABLE AS old_rows'),
            ('truncate', '')
        LOOP
            trigger_name := format('rankgres_%s_%s', attached_collection, operation);
            CONTINUE WHEN EXISTS (
                SELECT FROM pg_trigger WHERE tgrelid = target AND tgname = trigger_name
            );
            lacks := true;
            EXECUTE format(
                'CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT
                EXECUTE FUNCTION rankgres.source_%s_%s()',
                trigger_name, operation, rankgres.source_name_v1(target), sees, attached_collection, operation
            );
            IF pg_has_role((SELECT relowner FROM pg_class WHERE oid = target), 'USAGE') THEN
                EXECUTE format(
                    'ALTER TABLE %s ENABLE ALWAYS TRIGGER %I',
                    rankgres.source_name_v1(target), trigger_name
                );
            END IF;
        END LOOP;
        tables := tables + lacks::integer;
    END LOOP;
    RETURN tables;
END
$function$;
