-- The number in a document's column, NULL where it holds none; kept to what a float can hold well.
CREATE FUNCTION rankgres.filter_number_v1(content jsonb) RETURNS double precision
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $function$
    SELECT CASE WHEN jsonb_typeof(content) = 'number' THEN CASE
        WHEN abs(content::numeric) < 1e-30 THEN 0
        ELSE greatest(-1e30, least(1e30, content::numeric))
    END::double precision END
$function$;
