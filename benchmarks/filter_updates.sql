-- name: make_prototype
-- The same chunks with their embeddings in a table of their own: an update of filters writes the
-- chunk anew and leaves the embedding, and the graph over it, alone.
CREATE SCHEMA prototype;
CREATE TABLE prototype.chunk AS
SELECT
    row_number() OVER (ORDER BY document_id, position) AS id,
    document_id, position, token_count, start_offset, end_offset, lexical_length, heading, text,
    filters, lexemes
FROM rankgres.{partition};
CREATE TABLE prototype.embedding AS
SELECT piece.id, stored.embedding
FROM prototype.chunk AS piece
JOIN rankgres.{partition} AS stored USING (document_id, position)
ORDER BY piece.id;
ALTER TABLE prototype.embedding ALTER COLUMN embedding SET STORAGE MAIN;
ALTER TABLE prototype.chunk ADD PRIMARY KEY (id);
ALTER TABLE prototype.embedding ADD PRIMARY KEY (id);
CREATE UNIQUE INDEX ON prototype.chunk (document_id, position);
CREATE INDEX ON prototype.chunk USING gin (lexemes);
CREATE INDEX ON prototype.chunk USING gin (filters jsonb_path_ops)

-- name: make_prototype_hnsw
CREATE INDEX ON prototype.embedding
USING hnsw ((embedding::halfvec(384)) halfvec_cosine_ops) WITH (m = 16, ef_construction = 100)

-- name: nearest_now
SELECT document_id, position
FROM rankgres.{partition}
WHERE filters @> %(filter)s
ORDER BY embedding::halfvec(384) <=> %(embedding)s::halfvec(384)
LIMIT 100

-- name: nearest_prototype
SELECT piece.document_id, piece.position
FROM prototype.embedding AS stored
JOIN prototype.chunk AS piece ON piece.id = stored.id
WHERE piece.filters @> %(filter)s
ORDER BY stored.embedding::halfvec(384) <=> %(embedding)s::halfvec(384)
LIMIT 100

-- name: exact_now
-- Every chunk that qualifies is measured: what a search does where few do.
SELECT document_id, position
FROM rankgres.{partition}
WHERE filters @> %(filter)s
ORDER BY (embedding::halfvec(384) <=> %(embedding)s::halfvec(384)) + 0
LIMIT 100

-- name: exact_prototype
SELECT piece.document_id, piece.position
FROM prototype.chunk AS piece
JOIN prototype.embedding AS stored ON stored.id = piece.id
WHERE piece.filters @> %(filter)s
ORDER BY (stored.embedding::halfvec(384) <=> %(embedding)s::halfvec(384)) + 0
LIMIT 100

-- name: update_now
-- A filter of some documents changes, in one transaction, as a worker writes it.
UPDATE rankgres.{partition} SET filters = filters || %(filter)s
WHERE generation_id = %(generation_id)s AND document_id = ANY (%(documents)s)

-- name: update_prototype
UPDATE prototype.chunk SET filters = filters || %(filter)s
WHERE document_id = ANY (%(documents)s)

-- name: documents
SELECT DISTINCT document_id FROM rankgres.{partition} ORDER BY document_id

-- name: written
-- Bytes of write-ahead log so far.
SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn

-- name: size_now
SELECT pg_relation_size('rankgres.{partition}_embedding')

-- name: size_prototype
SELECT pg_relation_size('prototype.embedding_embedding_idx')
