-- Compares a generation with its source, in one snapshot, and returns how many documents differ in
-- each way, with some of them. With repair, exactly those are queued, behind every change that
-- somebody waits for, and wrong statistics are put right; a second call finds what is queued as
-- pending. Each document is of one kind, the first that holds:
--
-- dead        could not be indexed: see dead_letter; or its id is too long for that
-- pending     queued already, or known to be; no difference, the rest is
-- missing     in the source, and not indexed
-- gone        indexed, and not in the source any more
-- stale       indexed with other content than the source has
-- unhashed    indexed before hashes were kept: whether it is stale cannot be told
-- chunks      has not the chunks that were written
-- embedding   has chunks without an embedding
-- statistics  lexemes, not documents, whose counts for BM25 are wrong; '' stands for the totals.
CREATE FUNCTION rankgres.generation_verify_v1(
    verified_generation bigint,
    repair boolean DEFAULT false
) RETURNS TABLE (kind text, documents bigint, examples text [])
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    verified_collection constant bigint := (
        SELECT collection_id FROM rankgres.generation WHERE id = verified_generation
    );
    -- It has nothing to be compared with, and nothing of it is ever indexed again.
    is_detached constant boolean := (
        SELECT detached_at IS NOT NULL FROM rankgres.collection WHERE id = verified_collection
    );
BEGIN
    -- A drop of the collection waits for this lock, and not for that of the partition, behind which
    -- every search of other collections would wait as well. The partition alone is read, for the same
    -- reason.
    PERFORM pg_advisory_xact_lock_shared(
        hashtextextended('rankgres.generation_verify', verified_generation)
    );
    RETURN QUERY EXECUTE format(
        $statement$
        WITH source AS (
            SELECT read.document_id, read.content_hash
            -- STABLE: it reads what this statement sees, as it does the queue and the index.
            FROM rankgres.source_hashes_v1($2) AS read
            WHERE NOT $4
            UNION ALL
            SELECT document_id, coalesce(content_hash, '') FROM rankgres.indexed_document
            WHERE $4 AND generation_id = $1
        ),
        chunked AS (
            SELECT
                chunk.document_id,
                count(*) AS chunks,
                min(chunk.position) = 0 AND max(chunk.position) = count(*) - 1 AS whole,
                bool_or(chunk.embedding IS NULL AND chunk.embedding_full IS NULL) AS bare,
                sum(chunk.lexical_length) AS length
            FROM rankgres.%1$I AS chunk
            GROUP BY chunk.document_id
        ),
        indexed AS (
            SELECT
                coalesce(written.document_id, chunked.document_id) AS document_id,
                written.document_id IS NOT NULL AS known,
                written.content_hash,
                written.chunk_count = coalesce(chunked.chunks, 0) AND coalesce(chunked.whole, true)
                    AS whole,
                coalesce(chunked.bare, false) AS bare
            FROM (
                SELECT * FROM rankgres.indexed_document WHERE generation_id = $1
            ) AS written
            FULL JOIN chunked ON chunked.document_id = written.document_id
        ),
        queued AS (
            SELECT outbox.document_id, outbox.dead_at IS NOT NULL AS dead
            FROM rankgres.outbox
            WHERE outbox.generation_id = $1
            UNION ALL
            SELECT changed.document_id, false
            FROM rankgres.source_change
            CROSS JOIN LATERAL unnest(source_change.document_ids) AS changed (document_id)
            WHERE source_change.collection_id = $2
        ),
        queue AS (
            SELECT queued.document_id, bool_and(queued.dead) AS dead
            FROM queued
            GROUP BY queued.document_id
        ),
        -- What is known to come: the rest of a backfill, and a comparison that has not failed yet.
        expected AS (
            SELECT
                EXISTS (
                    SELECT FROM rankgres.backfill
                    WHERE backfill.generation_id = $1
                        AND backfill.finished_at IS NULL
                ) AS rest,
                EXISTS (
                    SELECT FROM rankgres.source_change
                    JOIN rankgres.source ON source.collection_id = source_change.collection_id
                    WHERE source_change.collection_id = $2
                        AND source_change.document_ids IS NULL
                        AND source.compare_error IS NULL
                ) AS comparison
        ),
        compared AS (
            SELECT
                coalesce(source.document_id, indexed.document_id) AS document_id,
                CASE
                    WHEN source.document_id IS NULL THEN 'gone'
                    WHEN indexed.known IS NOT TRUE THEN 'missing'
                    WHEN indexed.content_hash IS NULL AND NOT $4 THEN 'unhashed'
                    -- A row that cannot be read has no hash: indexing it will say why.
                    WHEN indexed.content_hash IS DISTINCT FROM source.content_hash THEN 'stale'
                    WHEN NOT indexed.whole THEN 'chunks'
                    WHEN indexed.bare THEN 'embedding'
                END AS kind
            FROM source
            FULL JOIN indexed ON indexed.document_id = source.document_id
        ),
        difference AS (
            SELECT
                coalesce(compared.document_id, queue.document_id) AS document_id,
                CASE
                    WHEN queue.dead THEN 'dead'
                    WHEN queue.document_id IS NOT NULL THEN 'pending'
                    WHEN expected.rest AND compared.kind = 'missing' THEN 'pending'
                    WHEN expected.comparison AND compared.kind IN ('missing', 'gone', 'stale')
                        THEN 'pending'
                    WHEN compared.kind <> 'gone' AND octet_length(compared.document_id) > 1024 THEN 'dead'
                    ELSE compared.kind
                END AS kind
            FROM (SELECT * FROM compared WHERE compared.kind IS NOT NULL) AS compared
            FULL JOIN queue ON queue.document_id = compared.document_id
            CROSS JOIN expected
        ),
        repaired_document AS (
            INSERT INTO rankgres.outbox (generation_id, document_id, priority)
            SELECT $1, difference.document_id, 1
            FROM difference
            WHERE $3 AND NOT $4 AND difference.kind NOT IN ('dead', 'pending')
            -- In the order in which everybody queues, so that no two wait for each other.
            ORDER BY difference.document_id
            ON CONFLICT (generation_id, document_id) DO NOTHING
        ),
        lexeme_difference AS (
            SELECT
                coalesce(kept.lexeme, counted.lexeme) AS lexeme,
                coalesce(counted.chunks, 0) - coalesce(kept.chunks, 0) AS chunks
            FROM (
                SELECT part.lexeme, sum(part.chunk_count) AS chunks
                FROM (
                    SELECT lexeme, chunk_count FROM rankgres.lexeme
                    WHERE generation_id = $1
                    UNION ALL
                    SELECT lexeme, chunk_count FROM rankgres.lexeme_change
                    WHERE generation_id = $1
                ) AS part
                GROUP BY part.lexeme
            ) AS kept
            FULL JOIN (
                SELECT found.lexeme COLLATE "C" AS lexeme, count(*) AS chunks
                FROM rankgres.%1$I AS chunk
                CROSS JOIN LATERAL unnest(tsvector_to_array(chunk.lexemes)) AS found (lexeme)
                GROUP BY 1
            ) AS counted ON counted.lexeme = kept.lexeme
            WHERE coalesce(counted.chunks, 0) <> coalesce(kept.chunks, 0)
        ),
        repaired_lexeme AS (
            -- As a change: what workers append meanwhile stays true beside it.
            INSERT INTO rankgres.lexeme_change (generation_id, lexeme, chunk_count)
            SELECT $1, lexeme_difference.lexeme, lexeme_difference.chunks
            FROM lexeme_difference
            WHERE $3
        ),
        total_difference AS (
            SELECT
                counted.chunks - kept.chunks AS chunks,
                counted.documents - kept.documents AS documents,
                counted.length - kept.length AS length
            FROM (
                SELECT
                    coalesce(sum(part.chunk_count), 0) AS chunks,
                    coalesce(sum(part.document_count), 0) AS documents,
                    coalesce(sum(part.lexical_length), 0) AS length
                FROM (
                    SELECT chunk_count, document_count, lexical_length FROM rankgres.chunk_total
                    WHERE generation_id = $1
                    UNION ALL
                    SELECT chunk_count, document_count, lexical_length FROM rankgres.chunk_total_change
                    WHERE generation_id = $1
                ) AS part
            ) AS kept
            CROSS JOIN (
                SELECT
                    coalesce(sum(chunked.chunks), 0) AS chunks,
                    count(*) AS documents,
                    coalesce(sum(chunked.length), 0) AS length
                FROM chunked
            ) AS counted
            WHERE (counted.chunks, counted.documents, counted.length)
                <> (kept.chunks, kept.documents, kept.length)
        ),
        repaired_total AS (
            INSERT INTO rankgres.chunk_total_change (
                generation_id, chunk_count, document_count, lexical_length
            )
            SELECT $1, chunks, documents, length FROM total_difference WHERE $3
        ),
        finding AS (
            SELECT difference.kind, left(difference.document_id, 1024) AS example FROM difference
            UNION ALL
            SELECT 'statistics', lexeme_difference.lexeme FROM lexeme_difference
            UNION ALL
            SELECT 'statistics', '' FROM total_difference
        ),
        numbered AS (
            SELECT
                finding.kind,
                finding.example,
                row_number() OVER (PARTITION BY finding.kind ORDER BY finding.example COLLATE "C") AS place
            FROM finding
        )
        SELECT
            numbered.kind,
            count(*),
            array_agg(numbered.example ORDER BY numbered.place) FILTER (WHERE numbered.place <= 10)
        FROM numbered
        GROUP BY numbered.kind
        $statement$,
        'chunk_' || verified_generation
    ) USING verified_generation, verified_collection, repair, is_detached;
END
$function$;
