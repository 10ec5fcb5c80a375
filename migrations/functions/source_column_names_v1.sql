-- Lists the columns of a relation, for those who named another.
CREATE FUNCTION rankgres.source_column_names_v1(source_relation oid) RETURNS text
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    SELECT string_agg(attname::text, ', ' ORDER BY attnum)
    FROM pg_attribute
    WHERE attrelid = source_relation AND attnum > 0 AND NOT attisdropped
$function$;
