-- name: limit
-- Ends the statements of this transaction that take longer.
SELECT set_config('statement_timeout', %(timeout_ms)s::text, true)

-- name: count
-- The most frequent values of fields among the documents that match; see facet_counts.
SELECT facet.field, facet.value, facet.documents, facet.exact
FROM rankgres.facet_counts(
    %(collection)s,
    %(fields)s::text [],
    filter => %(filter)s,
    query => %(query)s,
    values_per_field => %(values_per_field)s
) AS facet
