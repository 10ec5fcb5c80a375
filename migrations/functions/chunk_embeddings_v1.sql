-- The embeddings of listed passages, each with its number in the list, from 1, in that order. A passage
-- that is no longer there has no row.
CREATE FUNCTION rankgres.chunk_embeddings_v1(
    searched_generation bigint,
    document_ids text [],
    positions integer []
) RETURNS TABLE (number integer, embedding vector)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    generation rankgres.generation;
BEGIN
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = searched_generation;
    RETURN QUERY EXECUTE format(
        $statement$
        SELECT listed.number::integer, chunk.%3$s::vector
        FROM unnest($1, $2) WITH ORDINALITY AS listed (document_id, position, number)
        JOIN rankgres.%1$I AS chunk ON
            chunk.generation_id = %2$L
            AND chunk.document_id = listed.document_id
            AND chunk.position = listed.position
        WHERE chunk.%3$s IS NOT NULL
        ORDER BY listed.number
        $statement$,
        'chunk_' || searched_generation,
        searched_generation,
        CASE generation.storage_type WHEN 'vector' THEN 'embedding_full' ELSE 'embedding' END
    )
    USING document_ids, positions;
END
$function$;
