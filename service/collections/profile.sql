-- name: read
-- A collection's profile.
SELECT collection.search_profile
FROM rankgres.collection
WHERE collection.id = %(collection_id)s

-- name: write
-- Replaces it.
UPDATE rankgres.collection
SET search_profile = %(profile)s
WHERE id = %(collection_id)s

-- name: try
-- A search that takes every parameter from the profile, so that it fails where one cannot be used.
SELECT count(*) FROM rankgres.search_candidates(%(collection)s, 'profile', mode => 'lexical')
