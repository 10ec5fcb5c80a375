-- Tells what the statements that read a source hang on: the relation's name, the columns that are read
-- with their types, and whether a unique index stands on the key. NULL where the relation is gone.
CREATE FUNCTION rankgres.source_shape_v1(source rankgres.source) RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
BEGIN
    RETURN (
        SELECT concat_ws(
            ' ',
            pg_class.relnamespace::regnamespace,
            quote_ident(pg_class.relname),
            (
                SELECT string_agg(
                    concat_ws(
                        ' ', quote_ident(attname), format_type(atttypid, atttypmod), attcollation, attstorage
                    ),
                    ',' ORDER BY attnum
                )
                FROM pg_attribute
                WHERE attrelid = pg_class.oid
                    AND attnum > 0
                    AND NOT attisdropped
                    AND attname::text = ANY (source.read_columns)
            ),
            (
                SELECT string_agg(indexrelid::text, ',' ORDER BY indexrelid)
                FROM pg_index
                WHERE indrelid = pg_class.oid AND indisunique AND indisvalid
            ),
            (SELECT count(*) FROM pg_inherits WHERE inhparent = pg_class.oid)
        )
        FROM pg_class
        WHERE pg_class.oid = source.relation
    );
END
$function$;
