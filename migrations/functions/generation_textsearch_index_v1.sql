-- Creates the BM25 index of the extension pg_textsearch on a generation's partition, with the
-- generation's k1 and b. From then on every chunk written there is in the index when its transaction
-- commits; chunks that stand there already are indexed too.
--
-- What is indexed is chunk.textsearch_words: the lexemes themselves, each spelled as one word and
-- repeated as often as it occurs. So any configuration, several languages in one generation, n-grams
-- and headings all work, although the extension knows one configuration and one column, and a query
-- is never stemmed twice.
CREATE FUNCTION rankgres.generation_textsearch_index_v1(indexed_generation bigint) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    generation rankgres.generation;
    partition constant text := 'chunk_' || indexed_generation;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_textsearch') THEN
        RAISE EXCEPTION 'lexical_index "pg_textsearch" needs the extension pg_textsearch here'
            USING ERRCODE = 'invalid_parameter_value',
                COLUMN = 'lexical_index',
                HINT = CASE
                    WHEN EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_textsearch')
                        THEN 'add it to shared_preload_libraries, restart Postgres, and run '
                            'CREATE EXTENSION pg_textsearch in this database; or use gin'
                    ELSE 'use gin, or install it: it exists for Postgres 17 and later'
                END;
    END IF;
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = indexed_generation;
    IF generation.bm25_k1 NOT BETWEEN 0.1 AND 10 THEN
        RAISE EXCEPTION 'bm25_k1 % is out of the range of pg_textsearch', generation.bm25_k1
            USING ERRCODE = 'invalid_parameter_value',
                COLUMN = 'bm25_k1',
                HINT = 'use 0.1 to 10, or lexical_index => ''gin''';
    END IF;
    EXECUTE format(
        'CREATE TRIGGER %I BEFORE INSERT OR UPDATE ON rankgres.%I
        FOR EACH ROW EXECUTE FUNCTION rankgres.chunk_textsearch_v1()',
        partition || '_textsearch',
        partition
    );
    EXECUTE format('UPDATE rankgres.%I SET lexemes = lexemes', partition);
    EXECUTE format(
        'CREATE INDEX %I ON rankgres.%I USING bm25 (textsearch_words)
        WITH (text_config = %L, k1 = %s, b = %s)',
        partition || '_textsearch',
        partition,
        'pg_catalog.simple',
        generation.bm25_k1,
        generation.bm25_b
    );
END
$function$;
