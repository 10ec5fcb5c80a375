-- Returns the changes of a source of which the documents are not known, for source_compare to settle, and
-- has every document that a worker holds read once more.
--
-- Commit it before comparing. What a worker has read may be of before those changes, and the comparison
-- could not tell: a document that is queued already is not queued again, one that is neither in the
-- source nor indexed yet is no difference. With a new version the worker cannot finish it; whoever leases
-- it from now on reads what the changes left.
CREATE FUNCTION rankgres.source_changes_unknown_v1(compared_collection bigint) RETURNS bigint []
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    unknown_changes constant bigint [] := ARRAY(
        SELECT id FROM rankgres.source_change
        WHERE collection_id = compared_collection AND document_ids IS NULL
    );
BEGIN
    WITH held AS (
        SELECT outbox.generation_id, outbox.document_id
        FROM rankgres.outbox
        JOIN rankgres.generation ON generation.id = outbox.generation_id
        WHERE generation.collection_id = compared_collection AND outbox.lease IS NOT NULL
        -- Everybody in the same order. It waits for workers that finish: what they write is then there
        -- to be compared.
        ORDER BY outbox.generation_id, outbox.document_id
        FOR UPDATE OF outbox
    )
    UPDATE rankgres.outbox SET version = nextval('rankgres.outbox_version')
    FROM held
    WHERE outbox.generation_id = held.generation_id AND outbox.document_id = held.document_id;
    RETURN unknown_changes;
END
$function$;
