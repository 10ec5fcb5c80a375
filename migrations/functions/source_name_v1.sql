-- Tells a relation's name with its schema, each quoted where it has to be, as SQL is written with it
-- whatever search_path is.
CREATE FUNCTION rankgres.source_name_v1(source_relation oid) RETURNS text
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    SELECT format('%I.%I', nspname, relname)
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = source_relation
$function$;
