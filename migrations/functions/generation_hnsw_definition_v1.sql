-- The statement that builds a generation's HNSW index without holding up writes. It cannot run in
-- a transaction or a function, so it is returned for the caller to run.
CREATE FUNCTION rankgres.generation_hnsw_definition_v1(generation_id bigint) RETURNS text
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    SELECT format(
        'CREATE INDEX CONCURRENTLY IF NOT EXISTS %I ON rankgres.%I USING hnsw (%s) '
        'WITH (m = %s, ef_construction = %s)',
        'chunk_' || generation.id || '_embedding',
        'chunk_' || generation.id,
        CASE generation.storage_type
            WHEN 'bit' THEN format(
                '(binary_quantize(embedding)::bit(%s)) %I.bit_hamming_ops',
                generation.embedding_dimension,
                extension_namespace.nspname
            )
            ELSE format(
                '(%s) %I.%I',
                CASE generation.storage_type
                    WHEN 'vector'
                        THEN format('embedding_full::vector(%s)', generation.embedding_dimension)
                    ELSE format('embedding::halfvec(%s)', generation.embedding_dimension)
                END,
                extension_namespace.nspname,
                format(
                    '%s_%s_ops',
                    generation.storage_type,
                    CASE generation.distance WHEN 'inner_product' THEN 'ip' ELSE generation.distance END
                )
            )
        END,
        generation.hnsw_m,
        generation.hnsw_ef_construction
    )
    FROM rankgres.generation
    CROSS JOIN pg_extension
    JOIN pg_namespace AS extension_namespace ON extension_namespace.oid = pg_extension.extnamespace
    WHERE generation.id = generation_id AND pg_extension.extname = 'vector'
$function$;
