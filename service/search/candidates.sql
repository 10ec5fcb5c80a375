-- name: search
-- The candidate stage; what happened inside is in the setting rankgres.explain of this transaction.
SELECT
    found.rank, found.passage, found.document_id, found.position, found.heading, found.text,
    found.start_offset, found.end_offset, found.metadata, found.score,
    found.lexical_rank, found.lexical_score, found.vector_rank, found.vector_score
FROM rankgres.search_candidates(
    %(collection)s,
    %(query)s,
    query_embedding => %(query_embedding)s::vector,
    candidates => %(candidates)s,
    filter => %(filter)s,
    mode => %(mode)s,
    fusion => %(fusion)s,
    lexical_weight => %(lexical_weight)s,
    passages => %(passages)s
) AS found
ORDER BY found.rank, found.passage

-- name: explain
SELECT current_setting('rankgres.explain')::jsonb

-- name: snippets
-- The passages with the query's words marked, in the order given.
SELECT rankgres.snippet_v1(%(generation_id)s, %(query)s, passage.text, %(start)s, %(stop)s)
FROM unnest(%(texts)s::text []) WITH ORDINALITY AS passage (text, place)
ORDER BY passage.place
