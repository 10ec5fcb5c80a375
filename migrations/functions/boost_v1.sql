-- A number's worth between 0 and 1, growing with it in every shape but reciprocal. NULL for NULL.
--
--   linear      value / scale
--   log         ln(1 + value) / ln(1 + scale): each further one counts less
--   sigmoid     value ^ exponent / (value ^ exponent + pivot ^ exponent): half at the pivot, never quite
--               1, the steeper the greater the exponent (Craswell et al., "Relevance weighting for query
--               independent evidence", 2005)
--   reciprocal  pivot / (pivot + value): 1 for nothing, half at the pivot, for what should be small
--
-- Values under 0 count as 0, those over scale as scale. scale and pivot are over 0.
CREATE FUNCTION rankgres.boost_v1(
    shape text,
    value double precision,
    scale double precision,
    pivot double precision,
    exponent double precision
) RETURNS double precision
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $function$
    SELECT CASE
        WHEN value IS NULL THEN NULL
        WHEN shape = 'reciprocal' THEN pivot / (pivot + greatest(0, value))
        WHEN value <= 0 THEN 0
        WHEN shape = 'linear' THEN least(1, value / scale)
        WHEN shape = 'log' THEN least(1, ln(1 + value) / ln(1 + scale))
        -- The same as above, divided by value ^ exponent, which alone may be too large a number.
        ELSE 1 / (1 + exp(least(200, greatest(-200, exponent * (ln(pivot) - ln(value))))))
    END
$function$;
