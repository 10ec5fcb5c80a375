-- name: diversify
-- Which document of the list, from 1, stands at each place.
SELECT placed.candidate
FROM rankgres.diversify_v1(
    %(generation_id)s,
    %(document_ids)s::text [],
    %(positions)s::integer [],
    %(scores)s::double precision [],
    %(diversity)s
) AS placed
ORDER BY placed.place
