-- name: truncated
-- How many chunks of a generation there are, of some, and how many are longer than its model reads.
SELECT count(*), count(*) FILTER (WHERE token_count > %(max_tokens)s)
FROM (
    SELECT token_count FROM rankgres.chunk WHERE generation_id = %(id)s LIMIT %(most)s
) AS chunk
