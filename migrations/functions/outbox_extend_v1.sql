-- Moves the end of a lease to lease_for from now, so that long model calls keep their documents.
-- Skips those that an application is changing at this moment: it waits for nobody.
CREATE FUNCTION rankgres.outbox_extend_v1(
    leased_generation bigint,
    held_lease uuid,
    document_ids text [],
    lease_for interval
) RETURNS void
LANGUAGE sql
SET search_path FROM CURRENT
AS $function$
    UPDATE rankgres.outbox SET due_at = clock_timestamp() + lease_for
    FROM (
        SELECT document_id FROM rankgres.outbox
        WHERE generation_id = leased_generation
            AND document_id = ANY (document_ids)
            AND lease = held_lease
        FOR UPDATE SKIP LOCKED
    ) AS held
    WHERE generation_id = leased_generation AND outbox.document_id = held.document_id
$function$;
