-- Writes the SQL expression of a document's id over a row of its source: the key's text, or, of a key
-- of several columns, a JSON list of their texts.
CREATE FUNCTION rankgres.source_id_v1(source_relation oid, key_columns text [], qualifier text)
RETURNS text
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    SELECT CASE count(*)
        WHEN 1 THEN max(as_text)
        ELSE format('jsonb_build_array(%s)::text', string_agg(as_text, ', '))
    END
    FROM rankgres.source_columns_v1(source_relation, key_columns, qualifier)
$function$;
