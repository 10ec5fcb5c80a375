-- Removes from the outbox the documents that are still as they were leased, and returns them.
-- A document changed since, being changed now, or claimed by another worker is not returned and stays
-- queued: its chunks must not be committed. Call it last, so that an application that writes the same
-- document waits for no more than the commit. It waits for nobody: waiting for an application while
-- holding rows that it may write next would be a deadlock.
CREATE FUNCTION rankgres.outbox_finish_if_leased_v2(
    leased_generation bigint,
    held_lease uuid,
    document_ids text [],
    versions bigint []
) RETURNS SETOF text
LANGUAGE sql
SET search_path FROM CURRENT
AS $function$
    -- Arrays, not joins: whatever the planner takes the queue's length to be, it reads these rows alone.
    DELETE FROM rankgres.outbox
    WHERE outbox.generation_id = leased_generation
        AND outbox.document_id = ANY (ARRAY(
            SELECT held.document_id
            FROM rankgres.outbox AS held
            WHERE held.generation_id = leased_generation
                AND held.document_id = ANY (document_ids)
                -- No version is given twice, so any of them is this document's.
                AND held.version = ANY (versions)
                AND held.lease = held_lease
            FOR UPDATE SKIP LOCKED
        ))
    RETURNING outbox.document_id
$function$;
