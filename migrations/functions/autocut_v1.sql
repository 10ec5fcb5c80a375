-- How many of the scores, best first, to keep: those before the given number of falls.
--
-- The scores are drawn as a curve from (0, 0) to (1, 1): across, the place in the list; upward, how much
-- of the way from the first score to the last is done. Where scores fall evenly the curve is the
-- diagonal. A fall is a place where the curve stands higher above the diagonal than at both neighbours:
-- the score has just dropped by more than its share and goes on dropping by less. The list is cut before
-- it. This is the method of Weaviate's autocut, with two of its edges mended: a list without a spread is
-- kept whole, and a difference of less than a billionth, which is rounding, is none.
CREATE FUNCTION rankgres.autocut_v1(scores double precision [], falls integer) RETURNS integer
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    total constant integer := coalesce(cardinality(scores), 0);
    first_score constant double precision := scores[1];
    last_score constant double precision := scores[total];
BEGIN
    IF falls IS NULL OR falls < 0 THEN
        RAISE EXCEPTION 'autocut is %', coalesce(falls::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'autocut',
                HINT = 'use the number of falls in score to stop at, or 0 to cut nothing';
    ELSIF falls = 0 OR total < 3 OR first_score = last_score THEN
        RETURN total;
    END IF;
    RETURN coalesce(
        (
            SELECT place - 1
            FROM (
                SELECT
                    place,
                    above,
                    lag(above) OVER way AS before,
                    lag(above, 2) OVER way AS long_before,
                    lead(above) OVER way AS behind
                FROM (
                    SELECT
                        place,
                        (score / 2 - first_score / 2) / (last_score / 2 - first_score / 2)
                        - (place - 1) / (total - 1)::double precision AS above
                    FROM unnest(scores) WITH ORDINALITY AS curve (score, place)
                ) AS curve
                WINDOW way AS (ORDER BY place)
            ) AS curve
            WHERE above > before + 1e-9
                -- The last has no neighbour behind it: a fall to it shows against the two before.
                AND above > coalesce(behind, long_before) + 1e-9
            ORDER BY place
            OFFSET falls - 1
            LIMIT 1
        ),
        total
    );
END
$function$;
