-- Removes from the outbox the documents that are still as they were leased, and returns them.
-- A document changed since, or claimed by another worker, is not returned and stays queued: its
-- chunks must not be committed. Call it last, so that an application that writes the same document
-- waits for no more than the commit.
CREATE FUNCTION rankgres.outbox_finish_if_leased_v1(
    leased_generation bigint,
    held_lease uuid,
    document_ids text [],
    versions bigint []
) RETURNS SETOF text
LANGUAGE sql
SET search_path FROM CURRENT
AS $function$
    DELETE FROM rankgres.outbox
    USING unnest(document_ids, versions) AS held (document_id, version)
    WHERE outbox.generation_id = leased_generation
        AND outbox.document_id = held.document_id
        AND outbox.version = held.version
        AND outbox.lease = held_lease
    RETURNING outbox.document_id
$function$;
