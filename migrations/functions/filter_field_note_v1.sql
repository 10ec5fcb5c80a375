-- Notes which filter fields chunks that are being written have, so that a filter on a field that no
-- document has can be told from one that matches nothing. To be called in the writing transaction.
CREATE FUNCTION rankgres.filter_field_note_v1(noted_generation bigint, filters jsonb []) RETURNS void
LANGUAGE sql
SET search_path FROM CURRENT
AS $function$
    INSERT INTO rankgres.filter_field (generation_id, name)
    SELECT DISTINCT noted_generation, field.name
    FROM unnest(filters) AS noted (columns)
    CROSS JOIN LATERAL jsonb_object_keys(noted.columns) AS field (name)
    -- Longer names do not fit into an index: filter_field_check lets them through.
    WHERE octet_length(field.name) <= 1024 AND NOT EXISTS (
        SELECT FROM rankgres.filter_field AS known
        WHERE known.generation_id = noted_generation AND known.name = field.name
    )
$function$;
