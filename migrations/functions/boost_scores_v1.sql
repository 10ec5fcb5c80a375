-- The scores of a list of candidates with the boosts of their columns added, in the order given.
--
-- A boost is worth its weight times 0 to 1, in spans of the list: a document that gets all of a boost
-- of weight 0.2 rises by a fifth of the way from the list's last score to its first. Fused scores are
-- scaled per query, so their zero and their unit say nothing from one query to the next: a factor on
-- them would weigh differently in every query and fusion, and turn around under the negative scores
-- of zscore. Added in spans, a boost means the same in all of them; no document rises by more than the
-- sum of the weights; scores stay on their scale. A list of equals has a span of 1.
--
-- A document whose column is missing or holds something else gets nothing of that boost.
-- recency takes its worth from recency, boosts theirs from boost; see recency_parameters and
-- boost_parameters for settings and defaults. The default of a boost's scale is the greatest value
-- among the candidates, that of its pivot their median.
CREATE FUNCTION rankgres.boost_scores_v1(
    scores double precision [],
    metadata jsonb [],
    recency jsonb,
    boosts jsonb,
    moment timestamptz DEFAULT now()
) RETURNS double precision []
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    age constant jsonb := rankgres.recency_parameters_v1(recency, moment);
    numbers constant jsonb := rankgres.boost_parameters_v1(boosts);
    boost jsonb;
    worths double precision [];
    span double precision;
BEGIN
    IF coalesce(cardinality(scores), 0) = 0 OR age IS NULL AND numbers = '[]' THEN
        RETURN scores;
    END IF;
    SELECT coalesce(nullif(max(score) - min(score), 0), 1) INTO span FROM unnest(scores) AS score;
    worths := array_fill(0::double precision, ARRAY[cardinality(scores)]);
    IF age IS NOT NULL THEN
        worths := ARRAY(
            SELECT coalesce(
                (age ->> 'weight')::double precision * rankgres.recency_v1(
                    age ->> 'shape',
                    CASE WHEN distance IS NOT NULL
                        THEN greatest(0, distance - (age ->> 'offset')::double precision)
                    END / (age ->> 'scale')::double precision,
                    (age ->> 'decay')::double precision
                ),
                0
            )
            FROM (
                SELECT
                    place,
                    abs(
                        rankgres.filter_moment_v1(document -> (age ->> 'field'))
                        - (age ->> 'origin')::double precision
                    ) AS distance
                FROM unnest(metadata) WITH ORDINALITY AS listed (document, place)
            ) AS aged
            ORDER BY place
        );
    END IF;
    FOR boost IN SELECT * FROM jsonb_array_elements(numbers) LOOP
        worths := ARRAY(
            WITH valued AS (
                SELECT
                    worth, place, rankgres.filter_number_v1(document -> (boost ->> 'field')) AS value
                FROM unnest(worths, metadata) WITH ORDINALITY AS listed (worth, document, place)
            ),
            measured AS (
                SELECT
                    coalesce(
                        (boost ->> 'scale')::double precision, greatest(1e-12, max(value))
                    ) AS scale,
                    coalesce(
                        (boost ->> 'pivot')::double precision,
                        greatest(1e-12, percentile_cont(0.5) WITHIN GROUP (ORDER BY value))
                    ) AS pivot
                FROM valued
            )
            SELECT worth + coalesce(
                (boost ->> 'weight')::double precision * rankgres.boost_v1(
                    boost ->> 'shape', value, scale, pivot,
                    (boost ->> 'exponent')::double precision
                ),
                0
            )
            FROM valued CROSS JOIN measured
            ORDER BY place
        );
    END LOOP;
    RETURN ARRAY(
        SELECT score + span * worth
        FROM unnest(scores, worths) WITH ORDINALITY AS listed (score, worth, place)
        ORDER BY place
    );
END
$function$;
