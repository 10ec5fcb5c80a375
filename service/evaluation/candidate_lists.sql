-- name: explain
-- What the candidate stage of this transaction says of itself.
SELECT current_setting('rankgres.explain')::jsonb
