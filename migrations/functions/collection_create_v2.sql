-- Creates a collection with one active, empty generation and the partition that will hold its
-- chunks, and returns the collection's id.
--
-- text_search_config is a configuration of Postgres, or 'auto': each document is analysed in its own
-- language, see generation_configs. "unaccent+" before either takes the accents off, of documents and
-- of queries; it needs no extension. lexical_index is 'gin' or, where that extension is installed,
-- 'pg_textsearch'.
CREATE FUNCTION rankgres.collection_create_v2(
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
    hnsw_ef_construction integer DEFAULT 100,
    lexical_index text DEFAULT 'gin'
) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    new_collection bigint;
    new_generation bigint;
    new_partition text;
    analysed_by constant text := regexp_replace(text_search_config, '^unaccent\+', '');
BEGIN
    BEGIN
        IF analysed_by <> 'auto' THEN
            PERFORM analysed_by::regconfig;
        END IF;
    EXCEPTION WHEN undefined_object OR invalid_schema_name OR syntax_error OR invalid_name THEN
        RAISE EXCEPTION 'text_search_config "%" does not exist', text_search_config
            USING ERRCODE = 'invalid_parameter_value',
                COLUMN = 'text_search_config',
                HINT = 'use one of: auto (each document''s own language), ' || (
                    SELECT string_agg(cfgname::text, ', ' ORDER BY cfgname) FROM pg_ts_config
                ) || '; unaccent+ before it takes accents off';
    END;
    INSERT INTO rankgres.collection (name) VALUES (collection_name) RETURNING id INTO new_collection;
    INSERT INTO rankgres.generation (
        collection_id, state, activated_at, embedding_model, embedding_dimension, storage_type,
        distance, chunk_tokens, overlap_tokens, text_search_config, bm25_k1, bm25_b, hnsw_m,
        hnsw_ef_construction, lexical_index
    ) VALUES (
        new_collection, 'active', now(), embedding_model, embedding_dimension, storage_type,
        distance, chunk_tokens, overlap_tokens, text_search_config, bm25_k1, bm25_b, hnsw_m,
        hnsw_ef_construction, lexical_index
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
    PERFORM rankgres.chunk_suggest_index_v1(new_generation);
    IF lexical_index = 'pg_textsearch' THEN
        PERFORM rankgres.generation_textsearch_index_v1(new_generation);
    END IF;
    RETURN new_collection;
END
$function$;
