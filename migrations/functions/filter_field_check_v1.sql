-- Raises invalid_parameter_value, naming the parameter, where one of the fields stands in no document
-- of the generation; the hint lists the known fields, those spelled most alike first. A generation
-- without documents, or whose documents have no fields, knows none: then every field is let through.
CREATE FUNCTION rankgres.filter_field_check_v1(
    checked_generation bigint, fields text [], parameter text
) RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    listed_at_most constant integer := 20;
    unknown text;
    known text [];
BEGIN
    SELECT name INTO unknown
    FROM unnest(fields) WITH ORDINALITY AS field (name, place)
    -- Longer names are not noted.
    WHERE octet_length(name) <= 1024 AND NOT EXISTS (
        SELECT FROM rankgres.filter_field
        WHERE generation_id = checked_generation AND filter_field.name = field.name
    )
    ORDER BY place
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- Alike: Dice's coefficient of the pairs of neighbouring characters, ends included.
    SELECT array_agg(field.name ORDER BY field.alike DESC, field.name COLLATE "C") INTO known
    FROM (
        SELECT
            name,
            2.0 * (
                SELECT count(*) FROM (
                    SELECT substr('^' || lower(unknown) || '$', place, 2)
                    FROM generate_series(1, length(unknown) + 1) AS place
                    INTERSECT
                    SELECT substr('^' || lower(name) || '$', place, 2)
                    FROM generate_series(1, length(name) + 1) AS place
                ) AS shared
            ) / (length(unknown) + length(name) + 2) AS alike
        FROM (
            SELECT DISTINCT name FROM rankgres.filter_field
            WHERE generation_id = checked_generation
        ) AS noted
    ) AS field;
    IF known IS NULL THEN
        RETURN;
    END IF;
    RAISE EXCEPTION 'no document has a field "%"', unknown
        USING ERRCODE = 'invalid_parameter_value',
            COLUMN = parameter,
            HINT = 'known fields: '
                || array_to_string(known[:listed_at_most], ', ')
                || CASE WHEN cardinality(known) > listed_at_most
                    THEN format(' and %s more', cardinality(known) - listed_at_most) ELSE '' END;
END
$function$;
