-- name: found
-- What a source is registered as, with the generation that it will be indexed by.
SELECT
    format('%%s.%%I', relnamespace::regnamespace, relname) AS relation, source.key_columns, source.title_column,
    source.text_columns, source.template, source.text_format, source.filter_columns,
    source.condition, source.sync, source.compare_every::text AS compare_every,
    source.row_security, generation.embedding_model, generation.embedding_dimension,
    generation.chunk_tokens, generation.overlap_tokens, generation.storage_type, generation.hnsw_m
FROM rankgres.source
JOIN pg_class ON pg_class.oid = source.relation
JOIN rankgres.generation
    ON generation.collection_id = source.collection_id AND generation.state = 'active'
WHERE source.collection_id = %(collection_id)s

-- name: rows
-- How many rows belong, and whether they were counted.
SELECT belonging.estimate, belonging.counted
FROM rankgres.source_rows_v1(%(collection_id)s, %(limit)s) AS belonging

-- name: sample
SELECT sample.title, sample.text
FROM rankgres.source_sample_v1(%(collection_id)s, %(sample_rows)s) AS sample
