-- What is left of 1 at so many scales from the origin (or from the end of the offset around it): decay
-- at one scale, on a curve that is an exponential, half a bell or a straight line to 0, as
-- Elasticsearch's decay functions exp, gauss and linear define them. NULL for NULL.
CREATE FUNCTION rankgres.recency_v1(
    shape text,
    scales double precision,
    decay double precision
) RETURNS double precision
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $function$
    -- Beyond e^-200 nothing is left; Postgres would come to call it an underflow.
    SELECT CASE shape
        WHEN 'linear' THEN CASE WHEN (1 - decay) * scales < 1 THEN 1 - (1 - decay) * scales
            WHEN scales IS NOT NULL THEN 0 END
        WHEN 'gauss' THEN CASE WHEN least(scales, 1e100) ^ 2 * ln(decay) > -200 AND scales IS NOT NULL
            THEN exp(least(scales, 1e100) ^ 2 * ln(decay)) WHEN scales IS NOT NULL THEN 0 END
        ELSE CASE WHEN scales * ln(decay) > -200 THEN exp(scales * ln(decay))
            WHEN scales IS NOT NULL THEN 0 END
    END
$function$;
