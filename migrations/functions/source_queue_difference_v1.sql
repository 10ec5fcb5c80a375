-- Queues, for every live generation of a collection, the documents whose hashes in what the statement
-- present reads differ from those that are indexed, and that are not queued yet; returns how many, and
-- a word of ids that are too long even for a dead letter: see outbox_queue.
CREATE FUNCTION rankgres.source_queue_difference_v1(
    compared_collection bigint,
    present text,
    OUT queued bigint,
    OUT warning text
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    compared_generation bigint;
    found_now bigint;
    left_out text;
    too_long text [];
BEGIN
    queued := 0;
    FOR compared_generation IN
        SELECT id FROM rankgres.generation
        WHERE collection_id = compared_collection AND state IN ('building', 'active')
        ORDER BY id
    LOOP
        EXECUTE format(
            $statement$
            WITH difference AS MATERIALIZED (
                SELECT document_id, octet_length(document_id) AS bytes
                FROM (%1$s) AS present
                FULL JOIN (
                    SELECT document_id, content_hash FROM rankgres.indexed_document
                    WHERE generation_id = %2$s
                ) AS indexed USING (document_id)
                WHERE present.content_hash IS DISTINCT FROM indexed.content_hash
                    -- Neither has one: that it cannot be read is news all the same.
                    OR present.content_hash IS NULL
            ),
            inserted AS (
                INSERT INTO rankgres.outbox (
                    generation_id, document_id, priority, last_error, dead_at
                )
                SELECT
                    %2$s, document_id, 1,
                    CASE WHEN bytes > 1024 THEN 'its key has more than 1024 bytes' END,
                    CASE WHEN bytes > 1024 THEN clock_timestamp() END
                FROM difference
                WHERE bytes <= 2600 AND NOT EXISTS (
                    SELECT FROM rankgres.outbox AS waiting
                    WHERE waiting.generation_id = %2$s
                        AND waiting.document_id = difference.document_id
                )
                ORDER BY document_id
                ON CONFLICT (generation_id, document_id) DO NOTHING
                RETURNING dead_at
            )
            SELECT
                (SELECT count(*) FROM inserted WHERE dead_at IS NULL),
                (SELECT max(left(document_id, 100)) FROM difference WHERE bytes > 2600)
            $statement$,
            present,
            compared_generation
        ) INTO found_now, left_out;
        warning := coalesce('a key has more than 2600 bytes: ' || left_out, warning);
        queued := queued + found_now;
        -- Of what is too long to be indexed nothing else tells when it is gone.
        too_long := ARRAY(
            SELECT document_id FROM rankgres.outbox
            WHERE generation_id = compared_generation
                AND dead_at IS NOT NULL
                AND octet_length(document_id) > 1024
        );
        DELETE FROM rankgres.outbox
        WHERE generation_id = compared_generation
            AND document_id = ANY (too_long)
            AND NOT EXISTS (
                SELECT FROM rankgres.source_documents_v1(compared_collection, too_long) AS found
                WHERE found.document_id = outbox.document_id
            );
    END LOOP;
END
$function$;
