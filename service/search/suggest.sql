-- name: suggest
-- Ways to complete a prefix, best first.
SELECT found.suggestion, found.kind, found.chunk_count
FROM rankgres.suggest(%(collection)s, %(prefix)s, %(suggestions)s) AS found
