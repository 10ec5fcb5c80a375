-- name: make_source
CREATE UNLOGGED TABLE IF NOT EXISTS public.source (
    id integer, heading text, text text, embedding halfvec
)

-- name: load
-- The rows as workers write them, but in one statement and with the GIN indexes to come: at this size
-- the workers' own way would take hours, and makes the same table.
INSERT INTO rankgres.chunk (
    generation_id, document_id, position, token_count, start_offset, end_offset, lexical_length,
    heading, text, filters, lexemes, embedding
)
SELECT
    %(generation_id)s, 'document-' || lpad((id / 2)::text, 8, '0'), id %% 2, 256, 0, length(text),
    (SELECT coalesce(sum(coalesce(cardinality(positions), 1)), 0) FROM unnest(lexemes)),
    heading, text,
    jsonb_build_object(
        'of2', abs(hashint4(id) %% 2),
        'of20', abs(hashint4(id) %% 20),
        'of200', abs(hashint4(id) %% 200),
        'of2000', abs(hashint4(id) %% 2000)
    ),
    lexemes,
    embedding
FROM public.source
CROSS JOIN LATERAL (
    SELECT setweight(rankgres.lexemes_v1('english', heading), 'A')
        || setweight(rankgres.lexemes_v1('english', text), 'D') AS lexemes
    OFFSET 0
) AS analysed
ORDER BY id

-- name: count_lexemes
INSERT INTO rankgres.lexeme (generation_id, lexeme, chunk_count)
SELECT %(generation_id)s, word, ndoc
FROM ts_stat(format('SELECT lexemes FROM rankgres.%%I', 'chunk_' || %(generation_id)s))

-- name: count_chunks
INSERT INTO rankgres.chunk_total (generation_id, chunk_count, document_count, lexical_length)
SELECT %(generation_id)s, count(*), count(DISTINCT document_id), sum(lexical_length)
FROM rankgres.chunk
WHERE generation_id = %(generation_id)s

-- name: note_fields
INSERT INTO rankgres.filter_field (generation_id, name)
SELECT %(generation_id)s, unnest('{of2,of20,of200,of2000}'::text [])

-- name: lexical
-- The lexical stage with the given budget of chunks to score.
SELECT hit.document_id, hit.score
FROM rankgres.search_lexical_v2(
    %(generation_id)s,
    rankgres.query_parse_v1(%(generation_id)s, %(query)s),
    %(candidates)s,
    posting_budget => coalesce(%(posting_budget)s, 10000)
) AS hit
ORDER BY hit.rank

-- name: lexical_explain
SELECT current_setting('rankgres.lexical_explain')::jsonb

-- name: any_word
-- Any of the query's lexemes, as most recipes ask for them.
SELECT string_agg(quote_literal(lexeme), ' | ')
FROM unnest(to_tsvector('english', %(query)s))

-- name: ts_rank_cd
SELECT chunk.document_id, ts_rank_cd(chunk.lexemes, %(any_word)s::tsquery)
FROM rankgres.chunk
WHERE chunk.generation_id = %(generation_id)s AND chunk.lexemes @@ %(any_word)s::tsquery
ORDER BY 2 DESC
LIMIT %(candidates)s

-- name: vector
-- The vector stage as a search has it.
SELECT hit.document_id
FROM rankgres.search_vector_v2(
    %(generation_id)s, %(embedding)s, %(candidates)s,
    filter => rankgres.filter_to_jsonpath_v2(%(generation_id)s, %(filter)s)
) AS hit
ORDER BY hit.rank

-- name: vector_explain
SELECT current_setting('rankgres.vector_explain')::jsonb

-- name: exact_vector
-- Every chunk that qualifies measured, the best of each document.
SELECT document_id
FROM (
    SELECT document_id, min(embedding::halfvec(384) <=> %(embedding)s::halfvec(384)) AS distance
    FROM rankgres.chunk
    WHERE generation_id = %(generation_id)s AND filters @> coalesce(%(filter)s::jsonb, '{}')
    GROUP BY document_id
) AS document
ORDER BY distance, document_id COLLATE "C"
LIMIT %(candidates)s

-- name: hybrid
-- The whole function, all defaults.
SELECT document_id
FROM rankgres.search_candidates(%(collection)s, %(query)s, %(embedding)s, filter => %(filter)s)
ORDER BY rank
