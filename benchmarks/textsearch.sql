-- name: create
-- A collection with the lexical index of that name, everything else by default.
SELECT rankgres.collection_create_v2(
    collection_name => %(name)s,
    embedding_model => 'by hand',
    embedding_dimension => 384,
    chunk_tokens => 256,
    overlap_tokens => 32,
    lexical_index => %(lexical_index)s
)

-- name: spill
-- Moves what the index has in memory into a segment.
SELECT bm25_spill_index(%(index_name)s)

-- name: index_megabytes
SELECT pg_relation_size(%(index_name)s) / 1000000

-- name: textsearch
-- The lexical stage over the extension's index.
SELECT hit.document_id
FROM rankgres.search_textsearch_v1(
    %(generation_id)s,
    rankgres.query_parse_v1(%(generation_id)s, %(query)s),
    %(candidates)s,
    posting_budget => %(posting_budget)s
) AS hit
ORDER BY hit.rank

-- name: gin
-- The lexical stage over GIN; the budget says how many postings it may read.
SELECT hit.document_id
FROM rankgres.search_lexical_v2(
    %(generation_id)s,
    rankgres.query_parse_v1(%(generation_id)s, %(query)s),
    %(candidates)s,
    posting_budget => %(posting_budget)s
) AS hit
ORDER BY hit.rank
