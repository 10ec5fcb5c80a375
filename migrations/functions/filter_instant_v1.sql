-- The instant that an ISO 8601 date or timestamp names, as UTC without its offset; NULL for any other
-- text. A date is its first moment; a time without an offset is taken as UTC, whatever the session's
-- time zone.
CREATE FUNCTION rankgres.filter_instant_v1(operand text) RETURNS timestamp
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
    -- The casts are immutable here: the form is checked, and the offset stands in the text.
    SELECT CASE WHEN pg_input_is_valid(complete, 'timestamptz')
        THEN complete::timestamptz AT TIME ZONE 'UTC' END
    FROM (
        SELECT CASE
            WHEN operand ~ '^\d{4}-\d\d-\d\d$' THEN operand || 'T00:00:00Z'
            WHEN operand ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?$' THEN operand || 'Z'
            WHEN operand ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)? ?(Z|[+-]\d\d(:?\d\d)?)$'
                THEN operand
        END AS complete
    ) AS iso
$function$;
