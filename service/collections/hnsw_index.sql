-- name: due
-- Generations that have drained with enough chunks and have no HNSW index yet. Asked twice a second:
-- it must not count a long queue.
SELECT generation.id
FROM rankgres.generation
WHERE generation.state IN ('building', 'active')
    AND generation.hnsw_state = 'absent'
    AND NOT EXISTS (
        SELECT FROM rankgres.outbox
        WHERE outbox.generation_id = generation.id AND outbox.dead_at IS NULL
    )
    AND NOT EXISTS (
        SELECT FROM rankgres.backfill
        WHERE backfill.generation_id = generation.id AND backfill.finished_at IS NULL
    )
    AND (
        SELECT sum(total.chunk_count)
        FROM (
            SELECT chunk_count FROM rankgres.chunk_total
            WHERE chunk_total.generation_id = generation.id
            UNION ALL
            SELECT chunk_count FROM rankgres.chunk_total_change
            WHERE chunk_total_change.generation_id = generation.id
        ) AS total
    ) >= %(min_chunks)s

-- name: lock
-- One builder a generation; the lock goes with the session.
SELECT pg_try_advisory_lock(hashtextextended('rankgres.hnsw_index', %(generation_id)s))

-- name: invalid
-- What an interrupted build left behind.
SELECT relation.relname
FROM pg_index
JOIN pg_class AS relation ON relation.oid = pg_index.indexrelid
WHERE relation.relnamespace = 'rankgres'::regnamespace
    AND relation.relname = 'chunk_' || %(generation_id)s || '_embedding'
    AND NOT pg_index.indisvalid

-- name: definition
SELECT rankgres.generation_hnsw_definition_v1(%(generation_id)s)

-- name: mark_ready
UPDATE rankgres.generation SET hnsw_state = 'ready' WHERE id = %(generation_id)s

-- name: flush_pending_lexemes
-- What a bulk load left unsorted in the GIN indexes would slow every search.
SELECT gin_clean_pending_list(format('rankgres.%%I', 'chunk_' || %(generation_id)s || suffix)::regclass)
FROM unnest('{_lexemes,_filters}'::text []) AS suffix

-- name: progress
-- How far a running build is: its phase, and the share done of the phase that takes long.
SELECT
    progress.phase,
    CASE WHEN progress.tuples_total > 0 THEN progress.tuples_done::double precision / progress.tuples_total
        WHEN progress.blocks_total > 0 THEN progress.blocks_done::double precision / progress.blocks_total
        ELSE 0 END AS share
FROM pg_stat_progress_create_index AS progress
JOIN pg_class AS relation ON relation.oid = progress.relid
WHERE progress.datname = current_database()
    AND relation.relnamespace = 'rankgres'::regnamespace
    AND relation.relname = 'chunk_' || %(generation_id)s
