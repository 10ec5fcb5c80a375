-- Turns a filter as callers write it into one jsonpath predicate over a chunk's filter columns:
--   {"lang": "en"}                            equal; true of an array that contains it
--   {"year": {"gte": 2020, "lt": 2024}}       eq, ne, gt, gte, lt, lte; strings compare as strings
--   {"at": {"gte": "2024-01-01"}}             of ISO 8601 dates and times, gt, gte, lt, lte compare
--                                             moments: a date is its first, no offset means UTC
--   {"lang": {"in": ["en", "de"]}}            any of
--   {"tags": {"contains": ["new", "blue"]}}   all of
--   {"draft": {"exists": false}}              present or absent
--   {"or": […]}, {"and": […]}, {"not": {…}}   of filters; the members of one object are joined by and
-- Returns NULL for an empty filter. Raises invalid_parameter_value with a hint for anything else, and
-- for a field that no document of the generation has ever had.
CREATE FUNCTION rankgres.filter_to_jsonpath_v2(searched_generation bigint, filter jsonb)
RETURNS jsonpath
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    condition text := rankgres.filter_condition_v2(coalesce(filter, '{}'));
BEGIN
    IF condition = '' THEN
        RETURN NULL;
    END IF;
    PERFORM rankgres.filter_field_check_v1(
        searched_generation, ARRAY(SELECT rankgres.filter_fields_v1(filter)), 'filter'
    );
    RETURN condition::jsonpath;
END
$function$;
