-- What the candidate stage learned: profiles, languages, measured recall, other lexical indexes.

ALTER TABLE rankgres.collection
    ADD COLUMN search_profile jsonb NOT NULL DEFAULT '{}',
    ADD CONSTRAINT collection_search_profile_check CHECK (jsonb_typeof(search_profile) = 'object');
COMMENT ON COLUMN rankgres.collection.search_profile IS
    'Parameters of search_candidates that searches of this collection use unless they say otherwise.';

ALTER TABLE rankgres.generation
    ADD COLUMN lexical_index text NOT NULL DEFAULT 'gin',
    ADD COLUMN recall double precision,
    ADD COLUMN recall_k integer,
    ADD COLUMN recall_measured_at timestamptz,
    ADD CONSTRAINT generation_lexical_index_check
        CHECK (lexical_index IN ('gin', 'pg_textsearch')),
    ADD CONSTRAINT generation_recall_check CHECK (recall BETWEEN 0 AND 1);
COMMENT ON COLUMN rankgres.generation.recall IS
    'Of the HNSW search against exact search, over recall_k; NULL: never measured.';

-- A document after fusion; position is that of the passage to show. See fuse.
CREATE TYPE rankgres.fused_document AS (
    document_id text,
    score double precision,
    lexical_rank bigint,
    lexical_score double precision,
    vector_rank bigint,
    vector_score double precision,
    "position" integer
);

-- What a query asks of the lexemes; see query_parse.
CREATE TYPE rankgres.parsed_query AS (
    -- What scores, each lexeme once, with how often the query says it.
    lexemes text [],
    frequencies integer [],
    -- One a word or phrase that scores, with its alternatives; what "all" and "at least" count.
    clauses tsquery [],
    -- What every match has to satisfy: phrases, field words, exclusions. NULL: nothing.
    condition tsquery
);

-- Which fields a generation's documents have to filter by: a filter on another one is a mistake.
-- Workers append what they do not see; two that meet a field at the same time both do. A unique key
-- would make the one wait for the other's transaction.
CREATE TABLE rankgres.filter_field (
    generation_id bigint NOT NULL
        CONSTRAINT filter_field_generation_id_fkey REFERENCES rankgres.generation ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL
);
CREATE INDEX filter_field_name ON rankgres.filter_field (generation_id, name);
COMMENT ON TABLE rankgres.filter_field IS
    'The filter fields that chunks of a generation have or had; a name may stand more than once.';
-- All chunks of a document have the same. What is longer does not fit into an index; see
-- filter_field_note.
INSERT INTO rankgres.filter_field (generation_id, name)
SELECT DISTINCT chunk.generation_id, field.name
FROM rankgres.chunk CROSS JOIN LATERAL jsonb_object_keys(chunk.filters) AS field (name)
WHERE chunk.position = 0 AND octet_length(field.name) <= 1024;

-- What pg_textsearch indexes in the generations that choose it: see generation_textsearch_index.
ALTER TABLE rankgres.chunk ADD COLUMN textsearch_words text;
COMMENT ON COLUMN rankgres.chunk.textsearch_words IS
    'The lexemes spelled as words; NULL unless the generation has an index of pg_textsearch.';

-- Which configurations the texts of a generation were analysed under, where each document has its
-- own: a query is analysed under all of them. Workers append what they do not see, as above; a row
-- may stand more than once.
CREATE TABLE rankgres.generation_language (
    generation_id bigint NOT NULL CONSTRAINT generation_language_generation_id_fkey
        REFERENCES rankgres.generation ON DELETE CASCADE,
    text_search_config text COLLATE "C" NOT NULL
);
CREATE INDEX generation_language_generation ON rankgres.generation_language (generation_id);
COMMENT ON TABLE rankgres.generation_language IS
    'The text-search configurations that chunks of a generation have or had instead of its own.';

-- A search's final list, kept so that its pages fit together whatever happens to the index meanwhile.
-- UNLOGGED: written once a search that pages, read a few times, and worth nothing after a crash.
-- There is no foreign key: a snapshot ends by its time, and one of a dropped generation is not read.
CREATE UNLOGGED TABLE rankgres.search_snapshot (
    id uuid NOT NULL,
    generation_id bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    request jsonb NOT NULL,
    ranking jsonb NOT NULL,
    CONSTRAINT search_snapshot_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE rankgres.search_snapshot IS
    'Final lists of searches that page, until they expire: ids, positions, scores; no texts.';
