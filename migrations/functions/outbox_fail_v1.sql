-- Records why leased documents failed and when to try again: after 2, 4, 8 … seconds, each varied
-- by half either way so that failures do not return as a herd. After max_attempts the document is a
-- dead letter and holds nothing up. A document changed since starts over with its new version; one
-- being changed by an application at this moment is skipped and comes due when the lease ends.
CREATE FUNCTION rankgres.outbox_fail_v1(
    leased_generation bigint,
    held_lease uuid,
    document_ids text [],
    errors text [],
    max_attempts integer
) RETURNS void
LANGUAGE sql
SET search_path FROM CURRENT
AS $function$
    UPDATE rankgres.outbox SET
        lease = NULL,
        last_error = left(failed.error, 2000),
        due_at = clock_timestamp() + make_interval(
            secs => least(3600, 2 ^ least(outbox.attempts, 12)) * (0.5 + random())
        ),
        dead_at = CASE WHEN outbox.attempts >= max_attempts THEN clock_timestamp() END
    FROM (
        SELECT outbox.document_id, given.error
        FROM rankgres.outbox
        JOIN unnest(document_ids, errors) AS given (document_id, error) USING (document_id)
        WHERE outbox.generation_id = leased_generation AND outbox.lease = held_lease
        FOR UPDATE OF outbox SKIP LOCKED
    ) AS failed
    WHERE outbox.generation_id = leased_generation
        AND outbox.document_id = failed.document_id
$function$;
