-- Scores of given chunks for a query's embedding, as search_vector gives them: what the vector stage
-- says of chunks that it did not list itself. rank is NULL, for the same reason; passage is 1. A chunk
-- that is gone is left out.
CREATE FUNCTION rankgres.score_vector_v1(
    scored_generation bigint,
    query_embedding vector,
    chunks rankgres.ranked_chunk []
) RETURNS SETOF rankgres.ranked_chunk
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    generation rankgres.generation;
BEGIN
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = scored_generation;
    RETURN QUERY EXECUTE format(
        $statement$
        SELECT
            document_id,
            position,
            -- An embedding of zeros has no direction: least() turns its NaN into 2.
            CASE %4$L WHEN 'cosine' THEN 1 - least(distance, 2) ELSE -distance END,
            NULL::bigint,
            1::bigint
        FROM (
            SELECT chunk.document_id, chunk.position, %3$s AS distance
            FROM unnest($2) AS given
            JOIN (
                SELECT *
                FROM rankgres.%1$I
                WHERE generation_id = %2$L
            ) AS chunk USING (document_id, position)
        ) AS measured
        $statement$,
        'chunk_' || scored_generation,
        scored_generation,
        rankgres.generation_distance_v1(generation, '$1'),
        generation.distance
    )
    USING query_embedding, chunks;
END
$function$;
