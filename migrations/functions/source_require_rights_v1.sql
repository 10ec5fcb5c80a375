-- Refuses a relation that cannot be attached, or that the caller or the workers have no right to.
-- Called where current_user is the owner of the schema, who is the workers' role.
CREATE FUNCTION rankgres.source_require_rights_v1(source_relation oid) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    caller constant name := rankgres.source_caller_v1();
    relation pg_class;
    shown text := rankgres.source_name_v1(source_relation);
    schema_name name;
    unsupported text;
    lacking text;
    mend text;
    target record;
BEGIN
    SELECT * INTO relation FROM pg_class WHERE oid = source_relation;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'relation % does not exist', source_relation
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'relation';
    END IF;
    schema_name := relation.relnamespace::regnamespace;
    unsupported := CASE
        WHEN relation.relpersistence = 't' THEN 'is temporary: no worker can see it'
        WHEN schema_name = 'rankgres' THEN 'is Rankgres'' own'
        WHEN schema_name IN ('pg_catalog', 'information_schema', 'pg_toast') THEN 'is the system''s own'
        WHEN relation.relkind IN ('r', 'p', 'm', 'f', 'v') THEN NULL
        ELSE 'is ' || CASE relation.relkind
            WHEN 'S' THEN 'a sequence' WHEN 'i' THEN 'an index' WHEN 'I' THEN 'an index'
            WHEN 'c' THEN 'a composite type' ELSE 'of another kind' END
    END;
    IF unsupported IS NOT NULL THEN
        RAISE EXCEPTION '% %', shown, unsupported
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'relation',
                HINT = 'attach a table, a partitioned table, a materialised view, a foreign table or a view';
    END IF;

    IF NOT has_function_privilege(caller, 'rankgres.attach'::regproc, 'EXECUTE') THEN
        lacking := format('role %I may not attach', caller);
        mend := format(
            'GRANT EXECUTE ON FUNCTION %s TO %I',
            'rankgres.attach'::regproc::oid::regprocedure, caller
        );
    ELSIF NOT has_table_privilege(caller, source_relation, 'SELECT') THEN
        lacking := format('role %I may not read %s', caller, shown);
        mend := format('GRANT SELECT ON %s TO %I', shown, caller);
    ELSIF NOT has_schema_privilege(relation.relnamespace, 'USAGE') THEN
        lacking := format('the workers'' role %I may not use schema %I', current_user, schema_name);
        mend := format('GRANT USAGE ON SCHEMA %I TO %I', schema_name, current_user);
    ELSIF NOT has_table_privilege(source_relation, 'SELECT') THEN
        lacking := format('the workers'' role %I may not read %s', current_user, shown);
        mend := format('GRANT SELECT ON %s TO %I', shown, current_user);
    ELSIF row_security_active(source_relation) THEN
        lacking := format('row security hides rows of %s from the workers'' role %I', shown, current_user);
        mend := CASE
            WHEN relation.relforcerowsecurity THEN format('ALTER ROLE %I BYPASSRLS', current_user)
            ELSE format(
                'ALTER ROLE %I BYPASSRLS, or GRANT %I TO %1$I', current_user, relation.relowner::regrole
            )
        END;
    ELSIF relation.relkind = 'v' AND NOT pg_has_role(caller, current_user, 'USAGE') THEN
        -- The functions of a view run with the rights of whoever reads it.
        lacking := format('role %I may not have the workers'' role %I read a view', caller, current_user);
        mend := format(
            'attach its table with a condition, or a materialised view, or have %I attach it', current_user
        );
    END IF;
    IF lacking IS NULL AND relation.relkind IN ('r', 'p') THEN
        FOR target IN SELECT * FROM rankgres.source_tables_v1(source_relation) WHERE kind IN ('r', 'p') LOOP
            IF NOT has_table_privilege(caller, target.relation, 'TRIGGER') THEN
                shown := rankgres.source_name_v1(target.relation);
                lacking := format('role %I may not make triggers on %s', caller, shown);
                mend := format('GRANT TRIGGER ON %s TO %I', shown, caller);
                EXIT;
            END IF;
        END LOOP;
    END IF;
    IF lacking IS NOT NULL THEN
        RAISE EXCEPTION '%', lacking
            USING ERRCODE = 'insufficient_privilege', COLUMN = 'relation', HINT = mend;
    END IF;
END
$function$;
