-- A number among the settings of a parameter, within its bounds; the fallback where it is not given.
CREATE FUNCTION rankgres.parameter_number_v1(
    parameter text,
    given jsonb,
    name text,
    fallback double precision,
    least_value double precision,
    greatest_value double precision
) RETURNS double precision
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
BEGIN
    IF coalesce(given -> name, 'null') = 'null' THEN
        RETURN fallback;
    ELSIF jsonb_typeof(given -> name) <> 'number'
        OR (given -> name)::numeric NOT BETWEEN least_value::numeric AND greatest_value::numeric THEN
        RAISE EXCEPTION '% has "%" %', parameter, name, given -> name
            USING ERRCODE = 'invalid_parameter_value', COLUMN = parameter,
                HINT = format('use a number from %s to %s', least_value, greatest_value);
    END IF;
    RETURN (given -> name)::numeric;
END
$function$;
