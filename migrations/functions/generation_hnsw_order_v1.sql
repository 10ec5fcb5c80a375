-- The SQL expression that orders chunks by the generation's HNSW index: the distance itself, or for
-- bit storage the Hamming distance of the signs (binary quantisation).
CREATE FUNCTION rankgres.generation_hnsw_order_v1(generation rankgres.generation, operand text)
RETURNS text
LANGUAGE sql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
    SELECT CASE generation.storage_type
        WHEN 'bit' THEN format(
            '(binary_quantize(embedding)::bit(%1$s) <~> binary_quantize(%2$s)::bit(%1$s))',
            generation.embedding_dimension,
            operand
        )
        ELSE rankgres.generation_distance_v1(generation, operand)
    END
$function$;
