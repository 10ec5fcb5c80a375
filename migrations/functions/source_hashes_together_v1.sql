-- Tells the content_hash of every document by one statement, which fails as a whole where one row does:
-- see source_hashes.
CREATE FUNCTION rankgres.source_hashes_together_v1(searched_collection bigint)
RETURNS TABLE (document_id text, content_hash bytea)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres'
SET extra_float_digits = 1
SET bytea_output = 'hex'
AS $function$
DECLARE
    statement constant text := rankgres.source_reading_v1(searched_collection, 'hashes');
BEGIN
    RETURN QUERY EXECUTE statement;
EXCEPTION
    WHEN undefined_table OR undefined_column OR undefined_function OR undefined_object
        OR insufficient_privilege OR object_not_in_prerequisite_state OR fdw_error
        OR connection_exception
    THEN
        PERFORM rankgres.source_unreadable_v1(SQLERRM);
END
$function$;
