-- Tells the id of a collection that the real caller may steer: who attached it, who owns its relation,
-- and members of the role that owns the schema, who alone may steer managed ones. Called where
-- current_user is that owner.
CREATE FUNCTION rankgres.source_authorize_v1(collection_name text) RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    caller constant name := rankgres.source_caller_v1();
    steered bigint;
BEGIN
    SELECT id INTO steered FROM rankgres.collection WHERE name = collection_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'collection "%" does not exist', collection_name
            USING ERRCODE = 'undefined_object', COLUMN = 'collection',
                HINT = 'SELECT name FROM rankgres.collection';
    ELSIF NOT pg_has_role(caller, current_user, 'USAGE') AND NOT EXISTS (
        SELECT FROM rankgres.source
        LEFT JOIN pg_class ON pg_class.oid = source.relation
        JOIN pg_roles AS steering ON steering.oid = relowner OR steering.rolname = attached_by
        WHERE collection_id = steered AND pg_has_role(caller, steering.oid, 'USAGE')
    ) THEN
        RAISE EXCEPTION 'role % may not steer collection "%"', quote_ident(caller), collection_name
            USING ERRCODE = 'insufficient_privilege', COLUMN = 'collection',
                HINT = 'let the role that attached it do it, or the owner of its relation';
    END IF;
    RETURN steered;
END
$function$;
