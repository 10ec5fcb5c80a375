-- The fields that a filter names, at any depth, each once. The filter is one that filter_condition
-- takes.
CREATE FUNCTION rankgres.filter_fields_v1(filter jsonb) RETURNS SETOF text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
    WITH RECURSIVE part AS (
        SELECT filter AS filter_part
        UNION ALL
        SELECT nested.value
        FROM part
        CROSS JOIN LATERAL jsonb_each(part.filter_part) AS member
        CROSS JOIN LATERAL jsonb_array_elements(
            CASE WHEN member.key = 'not' THEN jsonb_build_array(member.value) ELSE member.value END
        ) AS nested
        WHERE member.key IN ('and', 'or', 'not')
    )
    SELECT DISTINCT name
    FROM part CROSS JOIN LATERAL jsonb_object_keys(part.filter_part) AS name
    WHERE name NOT IN ('and', 'or', 'not')
$function$;
