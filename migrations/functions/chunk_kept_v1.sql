-- What of documents is embedded already: for each of their chunks the SHA-256 of the text that was
-- embedded, which is its heading and text as an encoder reads them, joined by a line's end. A chunk
-- with the same text needs no model: see chunk_replace, which keeps its embedding.
CREATE FUNCTION rankgres.chunk_kept_v1(kept_generation bigint, document_ids text [])
RETURNS TABLE (document_id text, embedded_hash bytea)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
BEGIN
    -- The generation as a literal, so that other partitions are neither planned nor locked.
    RETURN QUERY EXECUTE format(
        $statement$
        SELECT chunk.document_id, sha256(convert_to(
            concat_ws(E'\n', nullif(chunk.heading, ''), nullif(chunk.text, '')), 'UTF8'
        ))
        FROM rankgres.chunk
        WHERE chunk.generation_id = %L
            AND chunk.document_id = ANY ($1)
            AND (chunk.embedding IS NOT NULL OR chunk.embedding_full IS NOT NULL)
        $statement$,
        kept_generation
    ) USING document_ids;
END
$function$;
