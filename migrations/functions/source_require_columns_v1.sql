-- Refuses names that are no columns of the relation, for the parameter that gave them.
CREATE FUNCTION rankgres.source_require_columns_v1(
    source_relation oid,
    column_names text [],
    parameter text
) RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    unknown text;
BEGIN
    SELECT name INTO unknown
    FROM unnest(column_names) AS name
    WHERE name IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = source_relation AND attname::text = name AND attnum > 0 AND NOT attisdropped
    )
    LIMIT 1;
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION '% has no column "%"', rankgres.source_name_v1(source_relation), unknown
            USING ERRCODE = 'invalid_parameter_value', COLUMN = parameter,
                HINT = 'its columns are, in upper and lower case as here: '
                    || rankgres.source_column_names_v1(source_relation);
    END IF;
END
$function$;
