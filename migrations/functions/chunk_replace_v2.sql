-- Replaces the chunks of whole documents: what stood there is deleted, the given chunks are written,
-- and the statistics of BM25 change by the difference, all in the caller's transaction.
-- documents names every document of the batch, also those left with no chunk; the other arrays have
-- one element a chunk. Embeddings are as long as the generation's dimension.
--
-- text_search_configs names the configuration that each chunk's text is analysed under, where that is
-- not the generation's own; NULL, as a whole or for a chunk, is the generation's own, and 'simple'
-- where that is 'auto'. Accents are the generation's matter. What is given is noted for the queries:
-- see generation_configs.
CREATE FUNCTION rankgres.chunk_replace_v2(
    replaced_generation bigint,
    documents text [],
    document_ids text [],
    positions integer [],
    token_counts integer [],
    start_offsets integer [],
    end_offsets integer [],
    headings text [],
    texts text [],
    filters jsonb [],
    embeddings vector [],
    text_search_configs text [] DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    generation rankgres.generation;
    automatic boolean;
    accents text;
    own_config text;
    -- Appends what a set of chunks named touched, times a sign, to the statistics.
    account constant text := $statement$,
        lexeme_difference AS (
            INSERT INTO rankgres.lexeme_change (generation_id, lexeme, chunk_count)
            SELECT %2$L, lexeme, %3$s * count(*)
            FROM touched CROSS JOIN LATERAL unnest(tsvector_to_array(lexemes)) AS lexeme
            GROUP BY lexeme
        )
        INSERT INTO rankgres.chunk_total_change (
            generation_id, chunk_count, document_count, lexical_length
        )
        SELECT %2$L, %3$s * count(*), %3$s * count(DISTINCT document_id), %3$s * sum(lexical_length)
        FROM touched
        HAVING count(*) > 0
        $statement$;
BEGIN
    -- Locked, so that a drop waits for this batch instead of taking the table from under it.
    SELECT * INTO generation FROM rankgres.generation WHERE id = replaced_generation
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'generation % does not exist', replaced_generation
            USING ERRCODE = 'undefined_object';
    END IF;
    automatic := generation.text_search_config IN ('auto', 'unaccent+auto');
    accents := coalesce(substring(generation.text_search_config FROM '^unaccent\+'), '');
    own_config := regexp_replace(generation.text_search_config, '^(unaccent\+)?auto$', '\1simple');
    PERFORM rankgres.filter_field_note_v1(replaced_generation, filters);
    IF automatic OR text_search_configs IS NOT NULL THEN
        INSERT INTO rankgres.generation_language (generation_id, text_search_config)
        SELECT DISTINCT replaced_generation, spoken.config
        FROM unnest(document_ids, text_search_configs) AS given (document_id, config)
        CROSS JOIN LATERAL coalesce(accents || given.config, own_config) AS spoken (config)
        -- No unique key, which would make one worker wait for another's transaction.
        WHERE NOT EXISTS (
            SELECT FROM rankgres.generation_language AS known
            WHERE known.generation_id = replaced_generation
                AND known.text_search_config = spoken.config
        );
    END IF;
    EXECUTE format(
        $statement$
        WITH touched AS (
            DELETE FROM rankgres.%1$I WHERE document_id = ANY ($1)
            RETURNING document_id, lexemes, lexical_length
        )$statement$ || account,
        'chunk_' || replaced_generation,
        replaced_generation,
        '-1'
    ) USING documents;
    EXECUTE format(
        $statement$
        WITH given AS MATERIALIZED (
            SELECT
                chunk.*,
                setweight(rankgres.lexemes_v1(%4$s, heading), 'A')
                    || setweight(rankgres.lexemes_v1(%4$s, text), 'D') AS lexemes
            FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS chunk (
                document_id, position, token_count, start_offset, end_offset, heading, text,
                filters, embedding, config
            )
        ),
        touched AS (
            INSERT INTO rankgres.%1$I (
                generation_id, document_id, position, token_count, start_offset, end_offset,
                heading, text, filters, lexemes, %5$I, lexical_length
            )
            SELECT
                %2$L, document_id, position, token_count, start_offset, end_offset,
                heading, text, filters, lexemes, embedding,
                (SELECT coalesce(sum(coalesce(cardinality(positions), 1)), 0) FROM unnest(lexemes))
            FROM given
            RETURNING document_id, lexemes, lexical_length
        )$statement$ || account,
        'chunk_' || replaced_generation,
        replaced_generation,
        '1',
        -- A constant is looked up once, a column for every chunk.
        CASE WHEN text_search_configs IS NULL THEN quote_literal(own_config)
            ELSE format('coalesce(%L || config, %L)', accents, own_config) END,
        CASE generation.storage_type WHEN 'vector' THEN 'embedding_full' ELSE 'embedding' END
    ) USING document_ids, positions, token_counts, start_offsets, end_offsets, headings, texts,
        filters, embeddings, text_search_configs;
END
$function$;
