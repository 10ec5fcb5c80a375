-- The rungs on which the lexical stage climbs down: which chunks to look at first, which next.
--
-- A chunk promises the sum of the weights of the terms that stand in it, and chunks are taken by what
-- they promise, most first: a rung is all that promise at least its threshold. So postings of common
-- terms that could not get a chunk there are never read: what MaxScore does (Turtle and Flood, "Query
-- Evaluation: Strategies and Optimizations", 1995) and weak AND (Broder et al., "Efficient Query
-- Evaluation using a Two-Level Retrieval Process", 2003), with a GIN index.
--
-- weights and counts are those of the choosing terms, eight at most: every set of them is looked at.
-- expected is how many chunks a rung is to have if terms stood independently of each other; rungs
-- follow at half as many more each, from wanted on, to the last, which has any of the terms; where the
-- first would have more than three times as many as wanted, what is above it comes before. unseen
-- is the most that a chunk outside of a rung can promise.
CREATE FUNCTION rankgres.lexical_rungs_v1(
    weights double precision [],
    counts double precision [],
    chunk_total double precision,
    wanted double precision
) RETURNS TABLE (threshold double precision, unseen double precision, expected double precision)
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
    -- Bit place - 1 of mask says whether a term is in the set.
    WITH term_set AS (
        SELECT promise.promised, chunk_total * promise.share AS expected
        FROM generate_series(1, (1 << cardinality(weights)) - 1) AS mask
        CROSS JOIN LATERAL (
            SELECT
                sum(weights[place]) FILTER (WHERE mask >> (place - 1) & 1 = 1) AS promised,
                exp(sum(ln(greatest(1e-12, CASE mask >> (place - 1) & 1
                    WHEN 1 THEN counts[place] / chunk_total
                    ELSE 1 - counts[place] / chunk_total
                END)))) AS share
            FROM generate_series(1, cardinality(weights)) AS place
        ) AS promise
    ),
    cumulated AS (
        SELECT
            promised AS threshold,
            lead(promised, 1, 0::double precision) OVER (ORDER BY promised DESC) AS unseen,
            sum(expected) OVER (ORDER BY promised DESC ROWS UNBOUNDED PRECEDING) AS expected
        FROM term_set
    ),
    stepped AS (
        SELECT
            *,
            CASE
                WHEN unseen = 0 THEN 1000
                WHEN expected >= wanted THEN floor(log(1.5, (expected / wanted)::numeric))
                -- A common term that weighs much makes a leap: what is above it is not to be missed.
                WHEN lead(expected) OVER (ORDER BY threshold DESC) > 3 * wanted THEN -1
            END AS step
        FROM cumulated
    )
    SELECT DISTINCT ON (step) threshold, unseen, expected
    FROM stepped
    WHERE step IS NOT NULL
    ORDER BY step, threshold DESC
$function$;
