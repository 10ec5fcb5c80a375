-- Tables of the schema rankgres. Private unless docs/schema.md says otherwise.

CREATE TABLE rankgres.collection (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT collection_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT collection_name_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT collection_name_check CHECK (name ~ '^[a-z][a-z0-9_-]{0,62}$')
);
COMMENT ON TABLE rankgres.collection IS 'A named set of documents.';

CREATE TABLE rankgres.generation (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT generation_pkey PRIMARY KEY,
    collection_id bigint NOT NULL
        CONSTRAINT generation_collection_id_fkey REFERENCES rankgres.collection ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'building',
    embedding_model text NOT NULL,
    embedding_dimension integer NOT NULL,
    storage_type text NOT NULL,
    distance text NOT NULL,
    chunk_tokens integer NOT NULL,
    overlap_tokens integer NOT NULL,
    text_search_config text NOT NULL,
    bm25_k1 double precision NOT NULL,
    bm25_b double precision NOT NULL,
    hnsw_m integer NOT NULL,
    hnsw_ef_construction integer NOT NULL,
    hnsw_state text NOT NULL DEFAULT 'absent',
    created_at timestamptz NOT NULL DEFAULT now(),
    activated_at timestamptz,
    CONSTRAINT generation_state_check CHECK (state IN ('building', 'active', 'retired')),
    CONSTRAINT generation_hnsw_state_check CHECK (hnsw_state IN ('absent', 'ready')),
    CONSTRAINT generation_storage_type_check CHECK (storage_type IN ('halfvec', 'vector', 'bit')),
    CONSTRAINT generation_distance_check CHECK (distance IN ('cosine', 'inner_product', 'l2')),
    -- Limits of the types in a pgvector 0.8 HNSW index.
    CONSTRAINT generation_embedding_dimension_check CHECK (
        embedding_dimension BETWEEN 1 AND CASE storage_type WHEN 'vector' THEN 2000 ELSE 4000 END
    ),
    CONSTRAINT generation_chunk_tokens_check CHECK (chunk_tokens BETWEEN 16 AND 32768),
    CONSTRAINT generation_overlap_tokens_check CHECK (overlap_tokens BETWEEN 0 AND chunk_tokens / 2),
    CONSTRAINT generation_bm25_k1_check CHECK (bm25_k1 >= 0),
    CONSTRAINT generation_bm25_b_check CHECK (bm25_b BETWEEN 0 AND 1),
    CONSTRAINT generation_hnsw_m_check CHECK (hnsw_m BETWEEN 2 AND 100),
    CONSTRAINT generation_hnsw_ef_construction_check CHECK (
        hnsw_ef_construction BETWEEN 2 * hnsw_m AND 1000
    )
);
COMMENT ON TABLE rankgres.generation IS
    'One immutable index configuration of a collection; only states and times ever change.';
COMMENT ON COLUMN rankgres.generation.text_search_config IS
    'Name, not regconfig: pg_upgrade refuses tables with regconfig columns.';
CREATE UNIQUE INDEX generation_one_active ON rankgres.generation (collection_id)
    WHERE state = 'active';
CREATE UNIQUE INDEX generation_one_building ON rankgres.generation (collection_id)
    WHERE state = 'building';

CREATE TABLE rankgres.document (
    collection_id bigint NOT NULL
        CONSTRAINT document_collection_id_fkey REFERENCES rankgres.collection ON DELETE CASCADE,
    id text NOT NULL,
    title text NOT NULL DEFAULT '',
    text text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT document_pkey PRIMARY KEY (collection_id, id),
    CONSTRAINT document_id_check CHECK (id <> '' AND octet_length(id) <= 1024),
    CONSTRAINT document_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);
COMMENT ON TABLE rankgres.document IS 'The managed table: documents that live in Rankgres itself.';

CREATE TABLE rankgres.chunk (
    generation_id bigint NOT NULL,
    document_id text NOT NULL,
    position integer NOT NULL,
    token_count integer NOT NULL,
    start_offset integer NOT NULL,
    end_offset integer NOT NULL,
    lexical_length integer NOT NULL,
    heading text NOT NULL,
    text text NOT NULL,
    filters jsonb NOT NULL,
    lexemes tsvector NOT NULL,
    embedding halfvec,
    embedding_full vector,
    CONSTRAINT chunk_pkey PRIMARY KEY (generation_id, document_id, position)
) PARTITION BY LIST (generation_id);
COMMENT ON TABLE rankgres.chunk IS
    'What is searched. One partition a generation, each with its own GIN and HNSW indexes.';
COMMENT ON COLUMN rankgres.chunk.start_offset IS 'Characters into the document''s text.';
COMMENT ON COLUMN rankgres.chunk.embedding_full IS
    'Set instead of embedding where the generation stores full precision.';
-- Scoring reads lexemes and embeddings of thousands of rows and the text of ten: keep the first two
-- in the row and let the text move out.
ALTER TABLE rankgres.chunk ALTER COLUMN lexemes SET STORAGE MAIN;
ALTER TABLE rankgres.chunk ALTER COLUMN embedding SET STORAGE MAIN;
ALTER TABLE rankgres.chunk ALTER COLUMN embedding_full SET STORAGE MAIN;

-- The only queue that counts. A row is written in the transaction that changes the document, so a
-- change and the promise to index it stand or fall together; Celery messages only wake workers.
-- One live row per document and generation: a generation being built has a queue of its own, so it
-- never delays the active one. There is no foreign key: it would make the application's own write
-- lock our rows; orphans of a dropped generation are swept.
CREATE SEQUENCE rankgres.outbox_version;
CREATE TABLE rankgres.outbox (
    generation_id bigint NOT NULL,
    document_id text NOT NULL,
    version bigint NOT NULL DEFAULT nextval('rankgres.outbox_version'),
    enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease uuid,
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    dead_at timestamptz,
    CONSTRAINT outbox_pkey PRIMARY KEY (generation_id, document_id)
-- Every row is inserted, updated once and deleted: leave room on the page, vacuum early.
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
COMMENT ON COLUMN rankgres.outbox.version IS
    'From a sequence, so that a version never returns, not even for a key deleted and made anew.';
COMMENT ON COLUMN rankgres.outbox.due_at IS
    'When it may be claimed: at once, at the end of a lease, or after a failed try''s backoff.';
CREATE INDEX outbox_due ON rankgres.outbox (generation_id, due_at, document_id)
    WHERE dead_at IS NULL;

-- Document frequencies of lexemes, in chunks. Writers only append to the change tables, so no two
-- workers wait for each other; readers add base and changes; statistics_fold moves changes over.
CREATE TABLE rankgres.lexeme (
    generation_id bigint NOT NULL,
    lexeme text COLLATE "C" NOT NULL,
    chunk_count bigint NOT NULL,
    CONSTRAINT lexeme_pkey PRIMARY KEY (generation_id, lexeme)
) WITH (fillfactor = 80);
CREATE TABLE rankgres.lexeme_change (
    generation_id bigint NOT NULL,
    lexeme text COLLATE "C" NOT NULL,
    chunk_count integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX lexeme_change_lexeme ON rankgres.lexeme_change (generation_id, lexeme);

CREATE TABLE rankgres.chunk_total (
    generation_id bigint NOT NULL CONSTRAINT chunk_total_pkey PRIMARY KEY,
    chunk_count bigint NOT NULL,
    document_count bigint NOT NULL,
    lexical_length bigint NOT NULL
);
CREATE TABLE rankgres.chunk_total_change (
    generation_id bigint NOT NULL,
    chunk_count integer NOT NULL,
    document_count integer NOT NULL,
    lexical_length bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX chunk_total_change_generation ON rankgres.chunk_total_change (generation_id);

-- What a search stage hands to fusion; see search_lexical and search_vector.
CREATE TYPE rankgres.ranked_chunk AS (
    document_id text,
    "position" integer,
    score double precision,
    rank bigint,
    passage bigint
);

-- Public: how far each collection is.
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
