-- Scales a score to 0..1 between the least and the greatest of its list; a list of equals is all 1.
CREATE FUNCTION rankgres.min_max_v1(
    score double precision,
    least_score double precision,
    greatest_score double precision
) RETURNS double precision
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $function$
    SELECT CASE
        WHEN greatest_score > least_score
            THEN (score - least_score) / (greatest_score - least_score)
        WHEN score IS NOT NULL THEN 1
    END
$function$;
