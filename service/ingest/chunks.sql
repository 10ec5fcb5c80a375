-- name: replace
-- Writes the chunks of whole documents in place of what stood there.
SELECT rankgres.chunk_replace_v2(
    %(generation_id)s, %(documents)s, %(document_ids)s, %(positions)s, %(token_counts)s,
    %(start_offsets)s, %(end_offsets)s, %(headings)s, %(texts)s, %(filters)s::jsonb [],
    %(embeddings)b::vector [],
    -- NULL without languages.
    (
        SELECT array_agg(rankgres.language_config_v1(spoken.language) ORDER BY spoken.place)
        FROM unnest(%(languages)s::text []) WITH ORDINALITY AS spoken (language, place)
    )
)

-- name: fold_statistics
-- Moves appended statistics of one generation into their base rows.
SELECT rankgres.statistics_fold_v1(%(generation_id)s)

-- name: unfolded
-- Generations with appended statistics.
SELECT DISTINCT change.generation_id FROM rankgres.chunk_total_change AS change
