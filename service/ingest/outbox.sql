-- name: claim
-- Leases due documents of a generation.
SELECT claimed.document_id, claimed.version, claimed.lease
FROM rankgres.outbox_claim_v2(
    %(generation_id)s, %(batch_size)s, make_interval(secs => %(lease_seconds)s), %(max_attempts)s,
    bulk => %(bulk)s
) AS claimed

-- name: extend
-- Moves the lease's end away from now.
SELECT rankgres.outbox_extend_v2(
    %(generation_id)s, %(lease)s, %(ids)s, make_interval(secs => %(lease_seconds)s)
)

-- name: finish
-- Removes what is still as it was leased; returns it.
SELECT rankgres.outbox_finish_if_leased_v2(%(generation_id)s, %(lease)s, %(ids)s, %(versions)s)

-- name: release
-- Gives documents back, due at once or after a pause.
SELECT rankgres.outbox_release_v2(
    %(generation_id)s, %(lease)s, %(ids)s, make_interval(secs => %(pause_seconds)s),
    %(reason)s
)

-- name: fail
-- Puts documents off, or among the dead letters.
SELECT rankgres.outbox_fail_v1(
    %(generation_id)s, %(lease)s, %(ids)s, %(errors)s, %(max_attempts)s
)

-- name: due
-- Live generations with due documents that are not paused, and how many there are: changes that
-- somebody waits for and all the others, each counted up to a limit. Ordered, so that the index that
-- has them in order is read and not the whole outbox.
SELECT generation.id, due.edits, due.others
FROM rankgres.generation
JOIN rankgres.collection ON collection.id = generation.collection_id
CROSS JOIN LATERAL (
    SELECT
        (
            SELECT count(*) FROM (
                SELECT FROM rankgres.outbox
                WHERE outbox.generation_id = generation.id
                    AND outbox.priority = 0
                    AND outbox.dead_at IS NULL
                    AND outbox.due_at <= statement_timestamp()
                ORDER BY outbox.due_at
                LIMIT %(count_limit)s
            ) AS counted
        ) AS edits,
        (
            SELECT count(*) FROM (
                SELECT FROM rankgres.outbox
                WHERE outbox.generation_id = generation.id
                    AND outbox.priority = 1
                    AND outbox.dead_at IS NULL
                    AND outbox.due_at <= statement_timestamp()
                ORDER BY outbox.due_at
                LIMIT %(count_limit)s
            ) AS counted
        ) AS others
    -- OFFSET: counted once, not once for each place it is used in.
    OFFSET 0
) AS due
WHERE generation.state IN ('building', 'active')
    AND collection.paused_at IS NULL
    AND due.edits + due.others > 0
ORDER BY generation.id

-- name: fold
-- Moves what triggers noted of changed rows into the outbox.
SELECT folded.generation_id, folded.documents
FROM rankgres.source_change_fold_v1(%(max_rows)s) AS folded

-- name: backfills
-- Generations whose source's earlier rows are not all queued yet.
SELECT backfill.generation_id
FROM rankgres.backfill
JOIN rankgres.generation ON generation.id = backfill.generation_id
JOIN rankgres.collection ON collection.id = generation.collection_id
WHERE backfill.finished_at IS NULL
    AND generation.state IN ('building', 'active')
    AND collection.paused_at IS NULL
ORDER BY backfill.generation_id

-- name: step_backfill
-- Queues the next rows of a source, as long as few enough are waiting.
SELECT rankgres.backfill_step_v1(%(generation_id)s, %(batch_rows)s, %(queue_limit)s)

-- name: sweep
-- Removes rows of generations that are gone: a trigger may have queued them while one was dropped.
DELETE FROM rankgres.outbox
WHERE NOT EXISTS (SELECT FROM rankgres.generation WHERE generation.id = outbox.generation_id)
