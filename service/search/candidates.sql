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
    rrf_k => %(rrf_k)s,
    stage_candidates => %(stage_candidates)s,
    passages => %(passages)s,
    ef_search => %(ef_search)s,
    match => %(match)s,
    language => %(language)s,
    correct => %(correct)s,
    heading_weight => %(heading_weight)s,
    min_lexical_score => %(min_lexical_score)s,
    min_vector_score => %(min_vector_score)s,
    min_score => %(min_score)s,
    autocut => %(autocut)s,
    recency => %(recency)s,
    boosts => %(boosts)s,
    diversity => %(diversity)s,
    deadline_ms => CASE
        WHEN %(time_left_ms)s::integer IS NULL THEN %(deadline_ms)s
        ELSE least(
            %(time_left_ms)s,
            coalesce(
                %(deadline_ms)s,
                (
                    SELECT (collection.search_profile ->> 'deadline_ms')::integer
                    FROM rankgres.collection
                    WHERE collection.name = %(collection)s
                )
            )
        )
    END
) AS found
ORDER BY found.rank, found.passage

-- name: explain
-- What happened inside, the diversity that is left for after reranking, and what a reranker is asked:
-- the query without what it says it is not about.
SELECT
    current_setting('rankgres.explain')::jsonb,
    CASE WHEN %(reranked)s THEN coalesce(
        %(diversity)s::double precision,
        (
            SELECT (collection.search_profile ->> 'diversity')::double precision
            FROM rankgres.collection
            WHERE collection.name = %(collection)s
        ),
        0
    ) ELSE 0 END,
    rankgres.query_unexcluded_v1(%(meaning)s)

-- name: snippets
-- The passages with the query's words marked, in the order given: snippet_v2 of each, with the query
-- analysed once for all.
WITH asked AS MATERIALIZED (
    SELECT
        rankgres.generation_configs_v1(%(generation_id)s, %(language)s) AS configs,
        (rankgres.query_parse_v1(%(generation_id)s, %(query)s, %(language)s)).lexemes
            || %(further_lexemes)s::text [] AS lexemes
)
SELECT coalesce(
    rankgres.snippet_marked_v1(
        asked.configs, asked.lexemes, passage.text, %(start)s, %(stop)s
    ),
    rankgres.snippet_beginning_v1(passage.text)
)
FROM asked, unnest(%(texts)s::text []) WITH ORDINALITY AS passage (text, place)
ORDER BY passage.place
