-- Tells the content_hash of every document in parts, halved until a row that fails is alone; its hash is
-- NULL. Slower than source_hashes_together by far: for sources that hold such a row.
CREATE FUNCTION rankgres.source_hashes_apart_v1(searched_collection bigint)
RETURNS TABLE (document_id text, content_hash bytea)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres'
SET extra_float_digits = 1
SET bytea_output = 'hex'
AS $function$
DECLARE
    ids text [];
BEGIN
    FOR ids IN EXECUTE format(
        'SELECT array_agg(id) FROM (
            SELECT id, (row_number() OVER () - 1) / 1000 AS part FROM (%s) AS row
        ) AS numbered
        GROUP BY part',
        rankgres.source_statement_v1(searched_collection, 'ids')
    ) LOOP
        RETURN QUERY SELECT * FROM rankgres.source_hashes_of_v1(searched_collection, ids);
    END LOOP;
END
$function$;
