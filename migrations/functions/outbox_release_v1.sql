-- Gives leased documents back, due at once, and takes back the attempt: nothing went wrong.
-- Documents that another worker holds by now are left alone.
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
    WHERE generation_id = leased_generation
        AND document_id = ANY (document_ids)
        AND lease = held_lease
$function$;
