-- Reads titles and texts of some of a collection's rows, from all over its source: what preflight cuts
-- and embeds to tell what all of them will cost. Of a relation that cannot be sampled they are the
-- first that come.
CREATE FUNCTION rankgres.source_sample_v1(sampled_collection bigint, sample_rows integer)
RETURNS TABLE (title text, text text)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres'
SET extra_float_digits = 1
SET bytea_output = 'hex'
AS $function$
DECLARE
    source rankgres.source;
    -- The expressions of a document; fields as in source_row.
    document record;
    -- Per cent of the relation, so that four times as many rows as are wanted come back.
    share double precision;
BEGIN
    SELECT * INTO STRICT source FROM rankgres.source WHERE collection_id = sampled_collection;
    SELECT * INTO document FROM rankgres.source_row_v1(sampled_collection);
    SELECT least(100, 400.0 * sample_rows / nullif(belonging.estimate, 0)) INTO share
    FROM rankgres.source_rows_v1(sampled_collection, 0) AS belonging;
    IF (SELECT relkind IN ('r', 'm', 'p') FROM pg_class WHERE oid = source.relation) THEN
        RETURN QUERY EXECUTE format(
            'SELECT %s, %s
            FROM (SELECT * FROM %s TABLESAMPLE SYSTEM (%s) REPEATABLE (1)%s) AS source_row
            ORDER BY md5(%s)
            LIMIT %s',
            document.title,
            document.body,
            source.relation,
            share,
            ' WHERE ' || source.condition,
            document.document_id,
            sample_rows
        );
        -- None where the estimate was far off.
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT %s, %s FROM %s LIMIT %s', document.title, document.body, document.rows, sample_rows
    );
END
$function$;
