-- name: kept
-- The texts that are embedded of documents, as hashes.
SELECT kept.document_id, kept.embedded_hash
FROM rankgres.chunk_kept_v1(%(generation_id)s, %(ids)s) AS kept

-- name: replace
-- Makes the chunks of whole documents those given, by the difference to what stands there.
SELECT rankgres.chunk_replace_v3(
    %(generation_id)s, %(documents)s::text [], %(content_hashes)s::bytea [],
    %(document_ids)s::text [], %(positions)s::integer [], %(token_counts)s::integer [],
    %(start_offsets)s::integer [], %(end_offsets)s::integer [], %(headings)s::text [],
    %(texts)s::text [], %(filters)s::jsonb [], %(embeddings)s::vector [],
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
