-- The SQL expression of the distance between a chunk's stored embedding and an operand (a parameter
-- such as $1), in the generation's type and metric; smaller is nearer.
CREATE FUNCTION rankgres.generation_distance_v1(generation rankgres.generation, operand text)
RETURNS text
LANGUAGE sql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
    SELECT format(
        CASE generation.storage_type
            WHEN 'vector' THEN '(embedding_full::vector(%1$s) %2$s %3$s::vector(%1$s))'
            ELSE '(embedding::halfvec(%1$s) %2$s %3$s::halfvec(%1$s))'
        END,
        generation.embedding_dimension,
        CASE generation.distance WHEN 'cosine' THEN '<=>' WHEN 'l2' THEN '<->' ELSE '<#>' END,
        operand
    )
$function$;
