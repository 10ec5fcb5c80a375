-- Reads those of a collection's documents that exist now: what is in its source and satisfies its
-- condition, or for a managed collection what is in rankgres.document. content_hash is of all that is
-- read. Duplicates among the ids are read once.
CREATE FUNCTION rankgres.source_documents_v1(searched_collection bigint, document_ids text [])
RETURNS TABLE (document_id text, title text, text text, metadata jsonb, content_hash bytea)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
-- Texts of keys and values must not hang on who reads them, and a row that may not be seen must be an
-- error, not a document that is gone.
SET row_security = off
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres'
SET extra_float_digits = 1
SET bytea_output = 'hex'
AS $function$
DECLARE
    statement constant text := rankgres.source_reading_v1(searched_collection, 'documents');
BEGIN
    RETURN QUERY EXECUTE statement
    USING ARRAY(SELECT DISTINCT unnest(document_ids));
EXCEPTION
    WHEN undefined_table OR undefined_column OR undefined_function OR undefined_object
        OR insufficient_privilege OR object_not_in_prerequisite_state OR fdw_error
        OR connection_exception
    THEN
        PERFORM rankgres.source_unreadable_v1(SQLERRM);
END
$function$;
