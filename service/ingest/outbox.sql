-- name: claim
-- Leases due documents of a generation.
SELECT claimed.document_id, claimed.version, claimed.lease
FROM rankgres.outbox_claim_v1(
    %(generation_id)s, %(batch_size)s, make_interval(secs => %(lease_seconds)s), %(max_attempts)s
) AS claimed

-- name: extend
-- Moves the lease's end away from now.
SELECT rankgres.outbox_extend_v1(
    %(generation_id)s, %(lease)s, %(ids)s, make_interval(secs => %(lease_seconds)s)
)

-- name: finish
-- Removes what is still as it was leased; returns it.
SELECT rankgres.outbox_finish_if_leased_v1(%(generation_id)s, %(lease)s, %(ids)s, %(versions)s)

-- name: release
-- Gives documents back, due at once.
SELECT rankgres.outbox_release_v1(%(generation_id)s, %(lease)s, %(ids)s)

-- name: fail
-- Puts documents off, or among the dead letters.
SELECT rankgres.outbox_fail_v1(
    %(generation_id)s, %(lease)s, %(ids)s, %(errors)s, %(max_attempts)s
)

-- name: due
-- Live generations with due documents, and how many there are, counted up to a limit.
SELECT generation.id, due.documents
FROM rankgres.generation
CROSS JOIN LATERAL (
    SELECT count(*) AS documents FROM (
        SELECT FROM rankgres.outbox
        WHERE outbox.generation_id = generation.id
            AND outbox.dead_at IS NULL
            AND outbox.due_at <= clock_timestamp()
        LIMIT %(count_limit)s
    ) AS counted
) AS due
WHERE generation.state IN ('building', 'active') AND due.documents > 0
ORDER BY generation.id

-- name: sweep
-- Removes rows of generations that are gone: a trigger may have queued them while one was dropped.
DELETE FROM rankgres.outbox
WHERE NOT EXISTS (SELECT FROM rankgres.generation WHERE generation.id = outbox.generation_id)
