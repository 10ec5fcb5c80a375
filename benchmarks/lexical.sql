-- name: replace
-- As workers write chunks: with tsvectors, both statistics and the GIN index.
SELECT rankgres.chunk_replace_v3(
    %(generation_id)s, %(documents)s, '{}',
    %(document_ids)s, %(positions)s, %(token_counts)s, %(zeros)s, %(zeros)s, %(headings)s, %(texts)s,
    %(filters)s::jsonb [], %(embeddings)b::vector []
)

-- name: flush_pending_lexemes
-- As the building of the HNSW index does it after a bulk load.
SELECT gin_clean_pending_list(
    format('rankgres.%%I', 'chunk_' || %(generation_id)s || '_lexemes')::regclass
)

-- name: scores
-- The lexical stage; the budget says how many postings it may read.
SELECT hit.document_id
FROM rankgres.search_lexical_v2(
    %(generation_id)s,
    rankgres.query_parse_v1(%(generation_id)s, %(query)s),
    %(candidates)s,
    posting_budget => %(posting_budget)s
) AS hit
ORDER BY hit.rank

-- name: bounded_scores
-- The lexical stage with the budget that it has by default.
SELECT hit.document_id
FROM rankgres.search_lexical_v2(
    %(generation_id)s, rankgres.query_parse_v1(%(generation_id)s, %(query)s), %(candidates)s
) AS hit
ORDER BY hit.rank

-- name: ts_rank
-- What most recipes do: every chunk with any of the words, ordered by ts_rank.
SELECT chunk.document_id
FROM rankgres.chunk
WHERE chunk.generation_id = %(generation_id)s AND chunk.lexemes @@ %(any_word)s::tsquery
ORDER BY ts_rank(chunk.lexemes, %(any_word)s::tsquery) DESC
LIMIT %(candidates)s

-- name: left_unread
-- Whether the search before, in this transaction, left postings unread.
SELECT (current_setting('rankgres.lexical_explain')::jsonb ->> 'bounded')::boolean
