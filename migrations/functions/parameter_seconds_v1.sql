-- A length of time among the settings of a parameter, in seconds; the fallback where it is not given.
-- Written as Postgres writes intervals ("30 days"; a month has 30 of them), or as a number of seconds.
CREATE FUNCTION rankgres.parameter_seconds_v1(
    parameter text,
    given jsonb,
    name text,
    fallback double precision,
    least_value double precision
) RETURNS double precision
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    -- Longer than there are dates, shorter than what sums of seconds stand.
    greatest_value constant double precision := 1e13;
    seconds double precision;
BEGIN
    IF coalesce(given -> name, 'null') = 'null' AND fallback IS NOT NULL THEN
        RETURN fallback;
    ELSIF jsonb_typeof(given -> name) = 'number' THEN
        seconds := rankgres.filter_number_v1(given -> name);
    ELSIF jsonb_typeof(given -> name) = 'string' AND pg_input_is_valid(given ->> name, 'interval') THEN
        seconds := extract(EPOCH FROM (given ->> name)::interval);
    END IF;
    IF seconds BETWEEN least_value AND greatest_value THEN
        RETURN seconds;
    END IF;
    RAISE EXCEPTION '% has "%" %', parameter, name, coalesce(given -> name, 'null')
        USING ERRCODE = 'invalid_parameter_value', COLUMN = parameter,
            HINT = 'use a length of time like "30 days", or a number of seconds'
                || CASE WHEN least_value > 0 THEN ' over 0' ELSE '' END;
END
$function$;
