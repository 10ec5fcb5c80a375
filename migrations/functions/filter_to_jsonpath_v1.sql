-- Turns a filter as callers write it into one jsonpath predicate over a chunk's filter columns:
--   {"lang": "en"}                            equal; true of an array that contains it
--   {"year": {"gte": 2020, "lt": 2024}}       eq, ne, gt, gte, lt, lte; strings compare as strings
--   {"lang": {"in": ["en", "de"]}}            any of
--   {"draft": {"exists": false}}              present or absent
--   {"or": […]}, {"and": […]}, {"not": {…}}   of filters; the members of one object are joined by and
-- Returns NULL for an empty filter. Raises invalid_parameter_value with a hint for anything else.
CREATE FUNCTION rankgres.filter_to_jsonpath_v1(filter jsonb) RETURNS jsonpath
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
DECLARE
    condition text := rankgres.filter_condition_v1(coalesce(filter, '{}'));
BEGIN
    RETURN CASE WHEN condition <> '' THEN condition::jsonpath END;
END
$function$;
