-- The moment in a document's column, in seconds since the epoch: an ISO date or timestamp, in UTC unless
-- it says otherwise, or such a number of seconds. NULL where it holds neither, never an error.
CREATE FUNCTION rankgres.filter_moment_v1(content jsonb) RETURNS double precision
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
DECLARE
    written text;
BEGIN
    IF jsonb_typeof(content) = 'number' THEN
        RETURN rankgres.filter_number_v1(content);
    ELSIF jsonb_typeof(content) <> 'string' THEN
        RETURN NULL;
    END IF;
    -- Postgres would take much more for a moment: 'tomorrow', 'infinity', or 010203.
    written := substring(content #>> '{}' FROM
        '^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:[.]\d+)?)?(?:[Zz]|[+-]\d\d(?::?\d\d)?)?)?$');
    IF length(written) = 10 THEN
        written := written || ' 00:00Z';
    ELSIF written !~ '([Zz]|[+-]\d\d(:?\d\d)?)$' THEN
        written := written || 'Z';
    END IF;
    IF pg_input_is_valid(written, 'timestamptz') THEN
        RETURN extract(EPOCH FROM written::timestamptz);
    END IF;
    RETURN NULL;
END
$function$;
