-- The time from one moment to another, in milliseconds with three decimals.
CREATE FUNCTION rankgres.milliseconds_v1(earlier timestamptz, later timestamptz) RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $function$
    SELECT round(1000 * extract(EPOCH FROM later - earlier), 3)
$function$;
