-- Makes the chunks of whole documents those given, by the difference to what stands there: rows that
-- are equal are not touched, rows of which only filters, offsets or places changed keep their
-- embedding, and the statistics of BM25 change by as much; all in the caller's transaction.
--
-- documents names every document of the batch once, also those left with no chunk; content_hashes
-- has the hash of each as it was read, see source_documents. A document with neither hash nor chunk
-- is gone. The other arrays have one element a chunk. Embeddings are as long as the generation's
-- dimension; NULL: the chunk's text is embedded already in a chunk of the same document, and that
-- embedding is taken, see chunk_kept. Where it is there no longer, nothing is written.
--
-- text_search_configs names the configuration that each chunk's text is analysed under, where that is
-- not the generation's own; NULL, as a whole or for a chunk, is the generation's own, and 'simple'
-- where that is 'auto'. Accents are the generation's matter. What is given is noted for the queries:
-- see generation_configs.
CREATE FUNCTION rankgres.chunk_replace_v3(
    replaced_generation bigint,
    documents text [],
    content_hashes bytea [],
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
    partition constant text := 'chunk_' || replaced_generation;
    accents text;
    own_config text;
    some_stand boolean;
    without_embedding text;
    kept constant integer := coalesce(cardinality(array_positions(embeddings, NULL)), 0);
    -- What is given, analysed. Lexemes are made anew for unchanged texts too: analysis may change.
    given_rows constant text := $statement$
        WITH given AS MATERIALIZED (
            SELECT
                chunk.document_id, chunk.position, chunk.token_count, chunk.start_offset,
                chunk.end_offset, chunk.heading, chunk.text, chunk.filters,
                CASE WHEN chunk.heading = '' THEN rankgres.lexemes_v1(%3$s, chunk.text)
                    ELSE setweight(rankgres.lexemes_v1(%3$s, chunk.heading), 'A')
                        || rankgres.lexemes_v1(%3$s, chunk.text)
                END AS lexemes,
                chunk.embedding
            FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS chunk (
                document_id, position, token_count, start_offset, end_offset, heading, text,
                filters, embedding, config
            )
        ),
        $statement$;
    lexical_length constant text := $statement$(
        SELECT coalesce(sum(coalesce(cardinality(word.positions), 1)), 0)
        FROM unnest(%s.lexemes) AS word
    )$statement$;
    -- Where nothing stands there is nothing to compare with.
    all_new constant text := $statement$
        touched AS (
            INSERT INTO rankgres.%1$I (
                generation_id, document_id, position, token_count, start_offset, end_offset,
                heading, text, filters, lexemes, %4$I, lexical_length
            )
            SELECT
                %2$L, document_id, position, token_count, start_offset, end_offset,
                heading, text, filters, lexemes, embedding, %5$s
            FROM given
            RETURNING 1 AS sign, lexemes, lexical_length
        ),
        counted AS (
            SELECT count(DISTINCT document_id) AS documents FROM given
        )
        $statement$;
    difference constant text := $statement$
        stood AS MATERIALIZED (
            SELECT
                document_id, position, token_count, start_offset, end_offset, lexical_length,
                heading, text, filters, lexemes, %4$I AS embedding
            FROM rankgres.%1$I
            WHERE generation_id = %2$L AND document_id = ANY ($1)
        ),
        -- An embedding is that of a text, wherever in the document it stands.
        embedded AS (
            SELECT DISTINCT ON (document_id, embedded_text) document_id, embedded_text, embedding
            FROM (
                SELECT
                    document_id,
                    concat_ws(E'\n', nullif(heading, ''), nullif(text, '')) AS embedded_text,
                    embedding
                FROM stood
                WHERE embedding IS NOT NULL
            ) AS texts
        ),
        wanted AS MATERIALIZED (
            SELECT
                given.document_id, given.position, given.token_count, given.start_offset,
                given.end_offset, given.heading, given.text, given.filters, given.lexemes,
                coalesce(given.embedding::%6$s, embedded.embedding) AS embedding,
                %5$s AS lexical_length
            FROM given
            LEFT JOIN embedded
                ON given.embedding IS NULL
                AND embedded.document_id = given.document_id
                AND embedded.embedded_text
                    = concat_ws(E'\n', nullif(given.heading, ''), nullif(given.text, ''))
        ),
        removed AS (
            DELETE FROM rankgres.%1$I AS chunk
            USING stood
            WHERE chunk.generation_id = %2$L
                AND chunk.document_id = stood.document_id
                AND chunk.position = stood.position
                AND NOT EXISTS (
                    SELECT FROM wanted
                    WHERE wanted.document_id = stood.document_id
                        AND wanted.position = stood.position
                )
        ),
        changed AS (
            -- Equal values are left as they are, so that long ones are not stored anew.
            UPDATE rankgres.%1$I AS chunk SET
                token_count = wanted.token_count,
                start_offset = wanted.start_offset,
                end_offset = wanted.end_offset,
                lexical_length = wanted.lexical_length,
                heading = wanted.heading,
                text = CASE WHEN chunk.text = wanted.text THEN chunk.text ELSE wanted.text END,
                filters = CASE
                    WHEN chunk.filters = wanted.filters THEN chunk.filters ELSE wanted.filters
                END,
                lexemes = CASE
                    WHEN chunk.lexemes = wanted.lexemes THEN chunk.lexemes ELSE wanted.lexemes
                END,
                %4$I = wanted.embedding
            FROM wanted
            WHERE chunk.generation_id = %2$L
                AND chunk.document_id = wanted.document_id
                AND chunk.position = wanted.position
                AND (
                    chunk.token_count, chunk.start_offset, chunk.end_offset, chunk.heading,
                    chunk.text, chunk.filters, chunk.lexemes, chunk.%4$I
                ) IS DISTINCT FROM (
                    wanted.token_count, wanted.start_offset, wanted.end_offset, wanted.heading,
                    wanted.text, wanted.filters, wanted.lexemes, wanted.embedding
                )
        ),
        added AS (
            INSERT INTO rankgres.%1$I (
                generation_id, document_id, position, token_count, start_offset, end_offset,
                heading, text, filters, lexemes, %4$I, lexical_length
            )
            SELECT
                %2$L, document_id, position, token_count, start_offset, end_offset,
                heading, text, filters, lexemes, embedding, lexical_length
            FROM wanted
            WHERE NOT EXISTS (
                SELECT FROM stood
                WHERE stood.document_id = wanted.document_id AND stood.position = wanted.position
            )
        ),
        -- What lexemes went and came; those that stayed in their place did neither.
        touched AS (
            SELECT side.sign, side.lexemes, side.lexical_length
            FROM stood
            FULL JOIN wanted USING (document_id, position)
            CROSS JOIN LATERAL (VALUES
                (-1, stood.lexemes, stood.lexical_length),
                (1, wanted.lexemes, wanted.lexical_length)
            ) AS side (sign, lexemes, lexical_length)
            WHERE stood.lexemes IS DISTINCT FROM wanted.lexemes AND side.lexemes IS NOT NULL
        ),
        counted AS (
            SELECT
                (SELECT count(DISTINCT document_id) FROM wanted)
                    - (SELECT count(DISTINCT document_id) FROM stood) AS documents
        )
        $statement$;
    account constant text := $statement$,
        lexeme_difference AS (
            INSERT INTO rankgres.lexeme_change (generation_id, lexeme, chunk_count)
            SELECT %2$L, lexeme, sum(touched.sign)
            FROM touched CROSS JOIN LATERAL unnest(tsvector_to_array(touched.lexemes)) AS lexeme
            GROUP BY lexeme
            HAVING sum(touched.sign) <> 0
        ),
        total_difference AS (
            INSERT INTO rankgres.chunk_total_change (
                generation_id, chunk_count, document_count, lexical_length
            )
            SELECT %2$L, total.chunks, counted.documents, total.lexical_length
            FROM counted
            CROSS JOIN (
                SELECT
                    coalesce(sum(sign), 0) AS chunks,
                    coalesce(sum(sign * lexical_length), 0) AS lexical_length
                FROM touched
            ) AS total
            WHERE (total.chunks, counted.documents, total.lexical_length) <> (0, 0, 0)
        )
        SELECT min(document_id) FROM %7$I WHERE embedding IS NULL
        $statement$;
BEGIN
    -- Locked, so that a drop waits for this batch instead of taking the table from under it.
    SELECT * INTO generation FROM rankgres.generation WHERE id = replaced_generation
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'generation % does not exist', replaced_generation
            USING ERRCODE = 'undefined_object';
    END IF;
    accents := coalesce(substring(generation.text_search_config FROM '^unaccent\+'), '');
    own_config := regexp_replace(generation.text_search_config, '^(unaccent\+)?auto$', '\1simple');
    PERFORM rankgres.filter_field_note_v1(replaced_generation, filters);
    IF generation.text_search_config IN ('auto', 'unaccent+auto') OR text_search_configs IS NOT NULL
    THEN
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
        'SELECT EXISTS (
            SELECT FROM rankgres.%I WHERE generation_id = %L AND document_id = ANY ($1)
        )',
        partition,
        replaced_generation
    ) INTO some_stand USING documents;
    EXECUTE format(
        given_rows || CASE WHEN some_stand THEN difference ELSE all_new END || account,
        partition,
        replaced_generation,
        -- A constant is looked up once, a column for every chunk.
        CASE WHEN text_search_configs IS NULL THEN quote_literal(own_config)
            ELSE format('coalesce(%L || config, %L)', accents, own_config) END,
        CASE generation.storage_type WHEN 'vector' THEN 'embedding_full' ELSE 'embedding' END,
        format(lexical_length, 'given'),
        CASE generation.storage_type WHEN 'vector' THEN 'vector' ELSE 'halfvec' END,
        CASE WHEN some_stand THEN 'wanted' ELSE 'given' END
    ) INTO without_embedding USING documents, document_ids, positions, token_counts, start_offsets,
        end_offsets, headings, texts, filters, embeddings, text_search_configs;
    IF without_embedding IS NOT NULL THEN
        RAISE EXCEPTION 'no chunk of document "%" has the embedding that was to be kept',
            without_embedding
            USING ERRCODE = 'no_data_found';
    END IF;

    INSERT INTO rankgres.indexed_document AS indexed (
        generation_id, document_id, content_hash, chunk_count
    )
    SELECT replaced_generation, document.id, document.content_hash, coalesce(part.chunks, 0)
    FROM unnest(documents, content_hashes) AS document (id, content_hash)
    LEFT JOIN (
        SELECT chunk.document_id, count(*) AS chunks
        FROM unnest(document_ids) AS chunk (document_id)
        GROUP BY chunk.document_id
    ) AS part ON part.document_id = document.id
    WHERE document.content_hash IS NOT NULL OR part.chunks IS NOT NULL
    ON CONFLICT (generation_id, document_id) DO UPDATE SET
        content_hash = excluded.content_hash,
        chunk_count = excluded.chunk_count,
        indexed_at = clock_timestamp();
    DELETE FROM rankgres.indexed_document
    WHERE generation_id = replaced_generation
        AND document_id IN (
            SELECT document.id
            FROM unnest(documents, content_hashes) AS document (id, content_hash)
            WHERE document.content_hash IS NULL AND document.id <> ALL (document_ids)
        );
    INSERT INTO rankgres.indexing_activity (
        generation_id, documents, chunks_embedded, chunks_reused
    )
    SELECT
        replaced_generation, cardinality(documents), cardinality(document_ids) - kept, kept
    WHERE documents <> '{}';
END
$function$;
