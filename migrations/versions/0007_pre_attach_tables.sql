-- What attached tables need: where they are, what changed in them, how far their backfill is, and what
-- of each document is indexed.

ALTER TABLE rankgres.collection ADD COLUMN paused_at timestamptz;
COMMENT ON COLUMN rankgres.collection.paused_at IS
    'Since when no worker takes documents of the collection; changes are queued all the same.';
ALTER TABLE rankgres.collection ADD COLUMN detached_at timestamptz;
COMMENT ON COLUMN rankgres.collection.detached_at IS
    'Since when it has no source and is kept as it was: its index is its own truth.';

-- What attach has to know of an embedding model: model cards are data of the service, which writes
-- them here when it migrates.
CREATE TABLE rankgres.embedding_model (
    name text NOT NULL CONSTRAINT embedding_model_pkey PRIMARY KEY,
    dimension integer NOT NULL,
    max_tokens integer NOT NULL,
    -- Text-search configurations of languages that it does not know.
    foreign_configs text [] NOT NULL DEFAULT '{}',
    is_default boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE rankgres.embedding_model IS 'The model cards, for those who attach with SQL alone.';

CREATE TABLE rankgres.source (
    collection_id bigint NOT NULL CONSTRAINT source_pkey PRIMARY KEY
        CONSTRAINT source_collection_id_fkey REFERENCES rankgres.collection ON DELETE CASCADE,
    relation regclass NOT NULL,
    key_columns text [] NOT NULL,
    title_column text,
    text_columns text [] NOT NULL,
    template text,
    text_format text NOT NULL DEFAULT 'plain',
    filter_columns text [] NOT NULL DEFAULT '{}',
    condition text,
    -- Every column that the above read: an update of others queues nothing.
    read_columns text [] NOT NULL,
    sync text NOT NULL,
    compare_every interval NOT NULL,
    row_security boolean NOT NULL DEFAULT false,
    attached_by text NOT NULL,
    attached_at timestamptz NOT NULL DEFAULT now(),
    compared_at timestamptz,
    compare_error text,
    -- What reads it, as long as the relation has this shape: see source_shape.
    shape text,
    documents_statement text,
    hashes_statement text,
    CONSTRAINT source_text_format_check CHECK (text_format IN ('plain', 'html', 'markdown')),
    CONSTRAINT source_sync_check CHECK (sync IN ('triggers', 'comparison')),
    CONSTRAINT source_compare_every_check CHECK (compare_every > interval '0')
);
COMMENT ON TABLE rankgres.source IS
    'Attached relations. A collection without one keeps its documents in rankgres.document.';
COMMENT ON COLUMN rankgres.source.relation IS
    'By oid, so that it survives a change of name; a dump writes the name.';

-- What triggers on attached tables append, in the application's own transaction: one row a statement
-- and thousand keys. Nothing is unique here and nothing is updated, so that no application ever waits
-- for another or for us. The relay moves it to the outbox: see source_change_fold.
CREATE TABLE rankgres.source_change (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT source_change_pkey PRIMARY KEY,
    collection_id bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    document_ids text [],
    reason text
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
COMMENT ON COLUMN rankgres.source_change.document_ids IS
    'NULL: what changed is not known, for the reason given; the source is to be compared.';

-- A source's rows of before it was attached, queued in key order.
CREATE TABLE rankgres.backfill (
    generation_id bigint NOT NULL CONSTRAINT backfill_pkey PRIMARY KEY
        CONSTRAINT backfill_generation_id_fkey REFERENCES rankgres.generation ON DELETE CASCADE,
    -- The last key queued, each column as text; NULL: none yet.
    after_key text [],
    estimated_rows bigint NOT NULL,
    queued_rows bigint NOT NULL DEFAULT 0,
    rows_per_second double precision,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    stepped_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT backfill_rows_per_second_check CHECK (rows_per_second > 0)
);
COMMENT ON COLUMN rankgres.backfill.rows_per_second IS 'The throttle; NULL: as fast as workers are.';

-- 0: a change that somebody waits for. 1: backfill and repair.
ALTER TABLE rankgres.outbox ADD COLUMN priority smallint NOT NULL DEFAULT 0;
DROP INDEX rankgres.outbox_due;
CREATE INDEX outbox_due ON rankgres.outbox (generation_id, priority, due_at, document_id)
    WHERE dead_at IS NULL;

-- One row a document, also one without text: what verify compares the source with.
CREATE TABLE rankgres.indexed_document (
    generation_id bigint NOT NULL,
    document_id text NOT NULL,
    content_hash bytea,
    chunk_count integer NOT NULL,
    indexed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT indexed_document_pkey PRIMARY KEY (generation_id, document_id)
) WITH (fillfactor = 90);
COMMENT ON COLUMN rankgres.indexed_document.content_hash IS
    'Of what was read from the source: see source_documents. NULL: indexed before hashes were kept.';
INSERT INTO rankgres.indexed_document (generation_id, document_id, chunk_count)
SELECT generation_id, document_id, count(*) FROM rankgres.chunk GROUP BY generation_id, document_id;

-- What workers finished, a row a batch, for an hour: rates, and how much was embedded anew.
CREATE TABLE rankgres.indexing_activity (
    generation_id bigint NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    documents integer NOT NULL,
    chunks_embedded integer NOT NULL,
    chunks_reused integer NOT NULL
);
CREATE INDEX indexing_activity_finished_at
    ON rankgres.indexing_activity (generation_id, finished_at);
COMMENT ON TABLE rankgres.indexing_activity IS 'What workers finished in the last hour.';

ALTER TABLE rankgres.collection ADD COLUMN verified_at timestamptz;
COMMENT ON COLUMN rankgres.collection.verified_at IS
    'When source and index were last compared by verify; NULL: never.';

-- Public: how far each collection is. New columns come last, so that grants and readers stay.
CREATE OR REPLACE VIEW rankgres.collection_status AS
SELECT
    collection.name AS collection,
    generation.id AS generation_id,
    generation.state,
    generation.embedding_model,
    generation.hnsw_state,
    coalesce(total.documents, 0) AS documents,
    coalesce(total.chunks, 0) AS chunks,
    queue.pending + coalesce(change.pending, 0) AS pending,
    queue.leased,
    queue.dead,
    greatest(queue.oldest_age, change.oldest_age) AS oldest_age,
    collection.paused_at IS NOT NULL AS paused,
    CASE WHEN source.collection_id IS NOT NULL THEN coalesce(
        (
            SELECT format('%s.%I', relnamespace::regnamespace, relname)
            FROM pg_catalog.pg_class
            WHERE oid = source.relation
        ),
        'a relation that was dropped'
    ) END AS source,
    least(backfill.done, backfill.total) AS backfill_done,
    backfill.total AS backfill_total,
    recent.rate,
    CASE
        WHEN work.documents = 0 THEN 0
        WHEN collection.paused_at IS NULL THEN work.documents / nullif(recent.rate, 0)
    END AS seconds_left,
    greatest(queue.lag, change.oldest_age) AS lag
FROM rankgres.collection
JOIN rankgres.generation ON generation.collection_id = collection.id
LEFT JOIN rankgres.source ON source.collection_id = collection.id
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
        count(*) FILTER (WHERE dead_at IS NULL AND priority > 0) AS unhurried,
        clock_timestamp() - min(enqueued_at) FILTER (WHERE dead_at IS NULL) AS oldest_age,
        clock_timestamp() - min(enqueued_at) FILTER (WHERE dead_at IS NULL AND priority = 0) AS lag
    FROM rankgres.outbox
    WHERE generation_id = generation.id
) AS queue ON true
-- What triggers wrote and the relay has not queued yet. A change that is to be found by comparison
-- counts as one.
LEFT JOIN LATERAL (
    SELECT
        sum(coalesce(cardinality(source_change.document_ids), 1))::bigint AS pending,
        clock_timestamp() - min(source_change.changed_at) AS oldest_age
    FROM rankgres.source_change
    WHERE source_change.collection_id = collection.id
        AND generation.state IN ('building', 'active')
) AS change ON true
-- Done is what was queued less what still waits. As long as it runs, there is at least one row more.
LEFT JOIN LATERAL (
    SELECT
        greatest(backfill.queued_rows - queue.unhurried, 0) AS done,
        CASE
            WHEN backfill.finished_at IS NULL
                THEN greatest(backfill.estimated_rows, backfill.queued_rows + 1)
            ELSE backfill.queued_rows
        END AS total,
        CASE
            WHEN backfill.finished_at IS NULL
                THEN greatest(backfill.estimated_rows - backfill.queued_rows, 1)
            ELSE 0
        END AS unqueued
    FROM rankgres.backfill
    WHERE backfill.generation_id = generation.id
) AS backfill ON true
-- Of the last minute. What has run for a few seconds is not divided by all of it.
LEFT JOIN LATERAL (
    SELECT
        coalesce(
            sum(indexing_activity.documents) / greatest(
                extract(EPOCH FROM clock_timestamp() - min(indexing_activity.finished_at)), 5
            ),
            0
        )::double precision AS rate
    FROM rankgres.indexing_activity
    WHERE indexing_activity.generation_id = generation.id
        AND indexing_activity.finished_at > clock_timestamp() - interval '1 minute'
) AS recent ON true
CROSS JOIN LATERAL (
    SELECT
        queue.pending + queue.leased + coalesce(change.pending, 0) + coalesce(backfill.unqueued, 0)
            AS documents
) AS work;
COMMENT ON VIEW rankgres.collection_status IS
    'One row a generation: what is searchable, what still waits, and how fast it is going.';
COMMENT ON COLUMN rankgres.collection_status.rate IS 'Documents finished per second, of the last minute.';
COMMENT ON COLUMN rankgres.collection_status.lag IS
    'Age of the oldest change that is not searchable yet, backfill and repair aside; NULL: none.';

-- Public: the documents that could not be indexed, and why.
CREATE VIEW rankgres.dead_letter AS
SELECT
    collection.name AS collection,
    outbox.generation_id,
    outbox.document_id,
    outbox.attempts,
    outbox.last_error,
    outbox.enqueued_at,
    outbox.dead_at,
    CASE WHEN outbox.dead_at IS NULL THEN outbox.due_at END AS next_try_at
FROM rankgres.outbox
JOIN rankgres.generation ON generation.id = outbox.generation_id
JOIN rankgres.collection ON collection.id = generation.collection_id
WHERE outbox.dead_at IS NOT NULL OR outbox.last_error IS NOT NULL;
COMMENT ON VIEW rankgres.dead_letter IS
    'Documents that failed: for good since dead_at, or to be tried again at next_try_at.';
