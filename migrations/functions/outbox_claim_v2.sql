-- Leases up to batch_size due documents of a generation, skipping rows that another worker is
-- claiming: changes that somebody waits for if any is due, otherwise those of backfills and repairs,
-- unless not bulk; the longest due first. Nothing of a collection that is paused. A lease not finished
-- by its end is claimable again; a document whose leases ended max_attempts times without a word (its
-- worker was killed) becomes a dead letter instead. From its third lease on a document is claimed
-- alone, so that one that kills workers takes no other with it.
-- All times are the database's clock, so worker clocks may differ.
CREATE FUNCTION rankgres.outbox_claim_v2(
    claimed_generation bigint,
    batch_size integer,
    lease_for interval,
    max_attempts integer,
    bulk boolean DEFAULT true
) RETURNS TABLE (document_id text, version bigint, lease uuid, attempts integer)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
DECLARE
    new_lease constant uuid := gen_random_uuid();
    -- In a variable, so that the index ends the search there.
    moment constant timestamptz := clock_timestamp();
    due_ids text [];
BEGIN
    IF EXISTS (
        SELECT FROM rankgres.generation
        JOIN rankgres.collection ON collection.id = generation.collection_id
        WHERE generation.id = claimed_generation AND collection.paused_at IS NOT NULL
    ) THEN
        RETURN;
    END IF;
    LOOP
        FOR wanted_priority IN 0..bulk::integer LOOP
            due_ids := ARRAY(
                SELECT placed.document_id
                FROM (
                    SELECT
                        due.document_id,
                        due.suspect,
                        row_number() OVER due_first AS place,
                        first_value(due.suspect) OVER due_first AS alone
                    FROM (
                        SELECT
                            outbox.document_id,
                            outbox.due_at,
                            outbox.attempts >= 2 AND outbox.attempts < max_attempts AS suspect
                        FROM rankgres.outbox
                        WHERE outbox.generation_id = claimed_generation
                            AND outbox.priority = wanted_priority
                            AND outbox.dead_at IS NULL
                            AND outbox.due_at <= moment
                        ORDER BY outbox.due_at, outbox.document_id
                        LIMIT batch_size
                        FOR UPDATE SKIP LOCKED
                    ) AS due
                    WINDOW due_first AS (ORDER BY due.due_at, due.document_id)
                ) AS placed
                WHERE placed.place = 1 OR NOT (placed.alone OR placed.suspect)
            );
            EXIT WHEN due_ids <> '{}';
        END LOOP;
        EXIT WHEN due_ids = '{}';
        RETURN QUERY
        WITH leased AS (
            UPDATE rankgres.outbox SET
                lease = CASE WHEN outbox.attempts < max_attempts THEN new_lease END,
                due_at = clock_timestamp() + lease_for,
                attempts = outbox.attempts + (outbox.attempts < max_attempts)::integer,
                dead_at = CASE WHEN outbox.attempts >= max_attempts THEN clock_timestamp() END,
                last_error = CASE
                    WHEN outbox.attempts >= max_attempts THEN coalesce(
                        outbox.last_error,
                        format('no worker finished it in %s leases', outbox.attempts)
                    )
                    ELSE outbox.last_error
                END
            WHERE outbox.generation_id = claimed_generation AND outbox.document_id = ANY (due_ids)
            RETURNING outbox.document_id, outbox.version, outbox.lease, outbox.attempts
        )
        SELECT leased.document_id, leased.version, leased.lease, leased.attempts
        FROM leased
        WHERE leased.lease IS NOT NULL
        ORDER BY leased.document_id;
        -- Where all were made dead letters others may be due.
        EXIT WHEN FOUND;
    END LOOP;
END
$function$;
