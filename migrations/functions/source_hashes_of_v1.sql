-- Tells the content_hash of those among some documents that exist; NULL of one that cannot be read.
CREATE FUNCTION rankgres.source_hashes_of_v1(searched_collection bigint, document_ids text [])
RETURNS TABLE (document_id text, content_hash bytea)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    middle constant integer := cardinality(document_ids) / 2;
BEGIN
    RETURN QUERY
    SELECT found.document_id, found.content_hash
    FROM rankgres.source_documents_v1(searched_collection, document_ids) AS found;
EXCEPTION
    WHEN data_exception OR program_limit_exceeded OR internal_error OR raise_exception THEN
        IF middle = 0 THEN
            RETURN QUERY SELECT document_ids[1], NULL::bytea;
        ELSE
            RETURN QUERY
            SELECT * FROM rankgres.source_hashes_of_v1(searched_collection, document_ids[:middle])
            UNION ALL
            SELECT * FROM rankgres.source_hashes_of_v1(searched_collection, document_ids[middle + 1 :]);
        END IF;
END
$function$;
