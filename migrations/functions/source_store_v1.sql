-- Writes the statements that read a source anew and keeps them, for as long as it has its shape.
CREATE FUNCTION rankgres.source_store_v1(stored_collection bigint) RETURNS void
LANGUAGE sql
SET search_path FROM CURRENT
AS $function$
    UPDATE rankgres.source SET
        shape = rankgres.source_shape_v1(source),
        documents_statement = rankgres.source_statement_v1(stored_collection, 'documents'),
        hashes_statement = rankgres.source_statement_v1(stored_collection, 'hashes')
    WHERE collection_id = stored_collection
$function$;
