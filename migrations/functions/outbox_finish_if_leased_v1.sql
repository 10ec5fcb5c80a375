-- Removes from the outbox the documents that are still as they were leased, and returns them.
-- A document changed since, being changed now, or claimed by another worker is not returned and stays
-- queued: its chunks must not be committed. Call it last, so that an application that writes the same
-- document waits for no more than the commit. It waits for nobody: waiting for an application while
-- holding rows that it may write next would be a deadlock.
CREATE FUNCTION rankgres.outbox_finish_if_leased_v1(
    leased_generation bigint,
    held_lease uuid,
    document_ids text [],
    versions bigint []
) RETURNS SETOF text
LANGUAGE sql
SET search_path FROM CURRENT
AS $function$
    WITH unchanged AS (
        SELECT outbox.document_id
        FROM rankgres.outbox
        JOIN unnest(document_ids, versions) AS held (document_id, version)
            USING (document_id, version)
        WHERE outbox.generation_id = leased_generation AND outbox.lease = held_lease
        FOR UPDATE OF outbox SKIP LOCKED
    )
    DELETE FROM rankgres.outbox
    USING unchanged
    WHERE outbox.generation_id = leased_generation
        AND outbox.document_id = unchanged.document_id
    RETURNING outbox.document_id
$function$;
