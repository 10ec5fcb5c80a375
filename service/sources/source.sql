-- name: attach
-- Makes a collection of a relation; where it is only registered, the relation gets no triggers.
SELECT rankgres.attach_v1(
    %(collection)s,
    %(relation)s,
    %(key)s,
    %(title)s,
    %(text)s,
    %(template)s,
    %(text_format)s,
    %(filters)s,
    %(condition)s,
    %(compare_every)s::interval,
    %(row_security)s,
    %(backfill_rows_per_second)s,
    %(embedding_model)s,
    %(chunk_tokens)s,
    %(overlap_tokens)s,
    %(storage_type)s,
    %(text_search_config)s,
    pg_catalog.current_setting('search_path'),
    with_triggers => %(with_triggers)s
)

-- name: detach
SELECT rankgres.detach(%(collection)s, %(keep)s)

-- name: pause
SELECT rankgres.pause(%(collection)s)

-- name: resume
SELECT rankgres.resume(%(collection)s)

-- name: find
-- What a collection is attached to.
SELECT
    source.collection_id,
    coalesce(format('%%I.%%I', relnamespace::regnamespace, relname), '') AS relation,
    source.key_columns, source.title_column, source.text_columns, source.template,
    source.text_format, source.filter_columns, source.condition, source.sync,
    source.row_security, source.compared_at, source.compare_error
FROM rankgres.source
LEFT JOIN pg_class ON pg_class.oid = source.relation
WHERE source.collection_id = %(collection_id)s
