-- name: list
-- Documents of a collection that failed. Several generations may each have the same one.
SELECT
    letter.document_id, letter.attempts, letter.last_error, letter.enqueued_at, letter.dead_at,
    letter.next_try_at
FROM rankgres.dead_letter AS letter
WHERE letter.collection = %(collection)s
ORDER BY letter.dead_at IS NULL, letter.next_try_at, letter.dead_at DESC, letter.document_id
LIMIT %(limit)s

-- name: retry
SELECT rankgres.retry(%(collection)s, %(document_ids)s)
