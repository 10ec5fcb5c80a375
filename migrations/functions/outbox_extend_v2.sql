-- Moves the end of a lease to lease_for from now, so that long model calls keep their documents.
-- Skips those that an application is changing at this moment: it waits for nobody.
CREATE FUNCTION rankgres.outbox_extend_v2(
    leased_generation bigint,
    held_lease uuid,
    document_ids text [],
    lease_for interval
) RETURNS void
LANGUAGE sql
SET search_path FROM CURRENT
AS $function$
    -- Arrays, not joins: see outbox_finish_if_leased.
    UPDATE rankgres.outbox SET due_at = clock_timestamp() + lease_for
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
