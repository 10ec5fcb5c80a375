-- Gives leased documents back and takes back the attempt: nothing went wrong with them. They are due
-- at once, or after a pause, with its reason: a remote model is busy, a source cannot be read.
-- Documents that another worker holds by now are left alone, and so are those being changed by an
-- application at this moment, for whom it does not wait: these come due when the lease ends.
CREATE FUNCTION rankgres.outbox_release_v2(
    leased_generation bigint,
    held_lease uuid,
    document_ids text [],
    pause interval DEFAULT interval '0',
    reason text DEFAULT NULL
) RETURNS void
LANGUAGE sql
SET search_path FROM CURRENT
AS $function$
    -- Arrays, not joins: see outbox_finish_if_leased.
    UPDATE rankgres.outbox SET
        lease = NULL,
        due_at = clock_timestamp() + pause,
        last_error = coalesce(left(reason, 2000), outbox.last_error),
        attempts = greatest(attempts - 1, 0)
    WHERE outbox.generation_id = leased_generation
        AND outbox.document_id = ANY (ARRAY(
            SELECT held.document_id
            FROM rankgres.outbox AS held
            WHERE held.generation_id = leased_generation
                AND held.document_id = ANY (document_ids)
                AND held.lease = held_lease
            FOR UPDATE SKIP LOCKED
        ))
$function$;
