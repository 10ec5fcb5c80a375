-- Creates a collection with one active, empty generation and the partition that will hold its
-- chunks, and returns the collection's id. The text-search configuration must exist.
CREATE FUNCTION rankgres.collection_create_v1(
    collection_name text,
    embedding_model text,
    embedding_dimension integer,
    chunk_tokens integer,
    overlap_tokens integer,
    storage_type text DEFAULT 'halfvec',
    distance text DEFAULT 'cosine',
    text_search_config text DEFAULT 'english',
    bm25_k1 double precision DEFAULT 1.2,
    bm25_b double precision DEFAULT 0.75,
    hnsw_m integer DEFAULT 16,
    hnsw_ef_construction integer DEFAULT 100
) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    new_collection bigint;
    new_generation bigint;
    new_partition text;
BEGIN
    BEGIN
        PERFORM text_search_config::regconfig;
    EXCEPTION WHEN undefined_object OR invalid_schema_name OR syntax_error OR invalid_name THEN
        RAISE EXCEPTION 'text_search_config "%" does not exist', text_search_config
            USING ERRCODE = 'invalid_parameter_value',
                COLUMN = 'text_search_config',
                HINT = 'use one of: ' || (
                    SELECT string_agg(cfgname::text, ', ' ORDER BY cfgname) FROM pg_ts_config
                );
    END;
    INSERT INTO rankgres.collection (name) VALUES (collection_name) RETURNING id INTO new_collection;
    INSERT INTO rankgres.generation (
        collection_id, state, activated_at, embedding_model, embedding_dimension, storage_type,
        distance, chunk_tokens, overlap_tokens, text_search_config, bm25_k1, bm25_b, hnsw_m,
        hnsw_ef_construction
    ) VALUES (
        new_collection, 'active', now(), embedding_model, embedding_dimension, storage_type,
        distance, chunk_tokens, overlap_tokens, text_search_config, bm25_k1, bm25_b, hnsw_m,
        hnsw_ef_construction
    ) RETURNING id INTO new_generation;
    new_partition := 'chunk_' || new_generation;

    -- Made apart and attached: CREATE … PARTITION OF would lock out every search meanwhile.
    EXECUTE format(
        'CREATE TABLE rankgres.%1$I (
            LIKE rankgres.chunk INCLUDING DEFAULTS INCLUDING STORAGE,
            CONSTRAINT %2$I CHECK (generation_id = %3$s),
            CONSTRAINT %4$I CHECK (vector_dims(%5$I) = %6$s),
            CONSTRAINT %7$I PRIMARY KEY (generation_id, document_id, position)
        )',
        new_partition,
        new_partition || '_generation_check',
        new_generation,
        new_partition || '_dimension_check',
        CASE storage_type WHEN 'vector' THEN 'embedding_full' ELSE 'embedding' END,
        embedding_dimension,
        new_partition || '_pkey'
    );
    EXECUTE format(
        'ALTER TABLE rankgres.chunk ATTACH PARTITION rankgres.%I FOR VALUES IN (%s)',
        new_partition,
        new_generation
    );
    EXECUTE format(
        'CREATE INDEX %I ON rankgres.%I USING gin (lexemes)',
        new_partition || '_lexemes',
        new_partition
    );
    EXECUTE format(
        'CREATE INDEX %I ON rankgres.%I USING gin (filters jsonb_path_ops)',
        new_partition || '_filters',
        new_partition
    );
    RETURN new_collection;
END
$function$;
