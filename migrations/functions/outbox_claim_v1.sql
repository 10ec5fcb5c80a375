-- Leases up to batch_size due documents of a generation, oldest first, skipping rows that another
-- worker is claiming. A lease not finished by its end is claimable again; a document whose leases
-- ended max_attempts times without a word (its worker was killed) becomes a dead letter instead.
-- All times are the database's clock, so worker clocks may differ.
CREATE FUNCTION rankgres.outbox_claim_v1(
    claimed_generation bigint,
    batch_size integer,
    lease_for interval,
    max_attempts integer
) RETURNS TABLE (document_id text, version bigint, lease uuid, attempts integer)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
DECLARE
    new_lease uuid := gen_random_uuid();
BEGIN
    RETURN QUERY
    WITH due AS (
        SELECT outbox.document_id, outbox.attempts >= max_attempts AS exhausted
        FROM rankgres.outbox
        WHERE generation_id = claimed_generation
            AND dead_at IS NULL
            AND due_at <= clock_timestamp()
        ORDER BY due_at, document_id
        LIMIT batch_size
        FOR UPDATE SKIP LOCKED
    ),
    leased AS (
        UPDATE rankgres.outbox SET
            lease = CASE WHEN NOT due.exhausted THEN new_lease END,
            due_at = clock_timestamp() + lease_for,
            attempts = outbox.attempts + CASE WHEN due.exhausted THEN 0 ELSE 1 END,
            dead_at = CASE WHEN due.exhausted THEN clock_timestamp() END,
            last_error = CASE
                WHEN due.exhausted THEN coalesce(
                    outbox.last_error,
                    format('no worker finished it in %s leases', outbox.attempts)
                )
                ELSE outbox.last_error
            END
        FROM due
        WHERE outbox.generation_id = claimed_generation
            AND outbox.document_id = due.document_id
        RETURNING outbox.document_id, outbox.version, outbox.lease, outbox.attempts
    )
    SELECT leased.document_id, leased.version, leased.lease, leased.attempts
    FROM leased
    WHERE leased.lease IS NOT NULL
    ORDER BY leased.document_id;
END
$function$;
