-- Tells the content_hash of every document of a collection as it is now: see source_documents. It is
-- NULL for one that cannot be read, which is that document's fault alone.
CREATE FUNCTION rankgres.source_hashes_v1(searched_collection bigint)
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
BEGIN
    -- Through a function of its own: what came before an error must not stay.
    RETURN QUERY SELECT * FROM rankgres.source_hashes_together_v1(searched_collection);
EXCEPTION
    WHEN data_exception OR program_limit_exceeded OR internal_error OR raise_exception THEN
        RETURN QUERY SELECT * FROM rankgres.source_hashes_apart_v1(searched_collection);
END
$function$;
