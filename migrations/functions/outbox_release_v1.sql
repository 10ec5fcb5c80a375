-- Gives leased documents back, due at once, and takes back the attempt: nothing went wrong.
-- Documents that another worker holds by now are left alone, and so are those being changed by an
-- application at this moment, for whom it does not wait: these come due when the lease ends.
CREATE FUNCTION rankgres.outbox_release_v1(
    leased_generation bigint,
    held_lease uuid,
    document_ids text []
) RETURNS void
LANGUAGE sql
SET search_path FROM CURRENT
AS $function$
    UPDATE rankgres.outbox SET
        lease = NULL,
        due_at = clock_timestamp(),
        attempts = greatest(attempts - 1, 0)
    FROM (
        SELECT document_id FROM rankgres.outbox
        WHERE generation_id = leased_generation
            AND document_id = ANY (document_ids)
            AND lease = held_lease
        FOR UPDATE SKIP LOCKED
    ) AS held
    WHERE generation_id = leased_generation AND outbox.document_id = held.document_id
$function$;
