-- The triggers on attached tables go with the functions that they call.
DO $do$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN
        SELECT oid FROM pg_catalog.pg_proc
        WHERE pronamespace = 'rankgres'::regnamespace
            AND proname ~ '^source_[0-9]+_(insert|update|delete|truncate)$'
    LOOP
        EXECUTE format('DROP FUNCTION %s CASCADE', function);
    END LOOP;
END
$do$;
DROP VIEW rankgres.dead_letter;
-- A view cannot lose columns.
DROP VIEW rankgres.collection_status;
CREATE VIEW rankgres.collection_status AS
SELECT
    collection.name AS collection,
    generation.id AS generation_id,
    generation.state,
    generation.embedding_model,
    generation.hnsw_state,
    coalesce(total.documents, 0) AS documents,
    coalesce(total.chunks, 0) AS chunks,
    queue.pending,
    queue.leased,
    queue.dead,
    queue.oldest_age
FROM rankgres.collection
JOIN rankgres.generation ON generation.collection_id = collection.id
LEFT JOIN LATERAL (
    SELECT sum(part.document_count)::bigint AS documents, sum(part.chunk_count)::bigint AS chunks
    FROM (
        SELECT document_count, chunk_count FROM rankgres.chunk_total
        WHERE generation_id = generation.id
        UNION ALL
        SELECT document_count, chunk_count FROM rankgres.chunk_total_change
        WHERE generation_id = generation.id
    ) AS part
) AS total ON true
LEFT JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE dead_at IS NULL AND (lease IS NULL OR due_at <= clock_timestamp()))
            AS pending,
        count(*) FILTER (WHERE dead_at IS NULL AND lease IS NOT NULL AND due_at > clock_timestamp())
            AS leased,
        count(dead_at) AS dead,
        clock_timestamp() - min(enqueued_at) FILTER (WHERE dead_at IS NULL) AS oldest_age
    FROM rankgres.outbox
    WHERE generation_id = generation.id
) AS queue ON true;
COMMENT ON VIEW rankgres.collection_status IS
    'One row a generation: documents and chunks searchable, and what the outbox still holds.';
ALTER TABLE rankgres.collection DROP COLUMN verified_at;
DROP TABLE rankgres.indexing_activity;
DROP TABLE rankgres.indexed_document;
DROP INDEX rankgres.outbox_due;
ALTER TABLE rankgres.outbox DROP COLUMN priority;
CREATE INDEX outbox_due ON rankgres.outbox (generation_id, due_at, document_id)
    WHERE dead_at IS NULL;
DROP TABLE rankgres.backfill;
DROP TABLE rankgres.source_change;
DROP TABLE rankgres.source;
DROP TABLE rankgres.embedding_model;
ALTER TABLE rankgres.collection DROP COLUMN detached_at;
ALTER TABLE rankgres.collection DROP COLUMN paused_at;
