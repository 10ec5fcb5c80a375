-- One stage's list with its scores on the common scale of a fusion, and what a document gets that the
-- list lacks. The scale is taken from the documents' best passages; further passages are put on it too.
--
-- With n documents, scores from least to greatest, mean m and deviation s:
--   relative_score  (score - least) / (greatest - least), a missing document 0: the last of the list
--                   counts as little as one that was never found, as in Weaviate's fusion of that name.
--   convex          the same, from the score that the next document would have, one mean gap below the
--                   last: (score - floor) / (greatest - floor), floor = least - (greatest - least) / (n - 1).
--                   The last gets 1 / n, a missing document 0. Min-max as in Bruch et al., "An Analysis of
--                   Fusion Functions for Hybrid Retrieval" (2023), with the missing beneath the found.
--   theoretical     score / greatest: theoretical min-max of Bruch et al., with 0 for the least there can
--                   be, which is no word found and no likeness at all; they have -1 for cosine, which
--                   leaves the vectors too little to say (nDCG@10 less by 0.02 on SciFact). A list
--                   without a score above 0 is scaled as relative_score. A missing document gets 0 from the
--                   lexical list; the vector list takes it to be as near as its floor, yet not less
--                   than 0 unless a document found is.
--   zscore          (score - m) / s, s over all n; a missing document that of the floor.
--   distribution    0.5 + (score - m) / 6 s, s of a sample: m - 3 s is 0 and m + 3 s is 1, as Qdrant's
--                   distribution-based score fusion has it; a missing document 0, or less if the floor is.
--   rrf             as relative_score: it fuses ranks, and needs scores to compare passages alone.
-- A list of equals has no spread: each gets 1, in zscore 0 and in distribution 0.5, and a missing
-- document 0, in zscore -1. Beyond 1e50, and nearer to 0 than 1e-50, scores are not told apart.
CREATE FUNCTION rankgres.score_scale_v1(
    ranked rankgres.ranked_chunk [],
    stage text,
    fusion text
) RETURNS TABLE (
    document_id text,
    "position" integer,
    score double precision,
    rank bigint,
    passage bigint,
    scaled double precision,
    missing double precision
)
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $function$
    WITH bounded AS (
        SELECT
            chunk.*,
            CASE
                WHEN abs(chunk.score) >= 1e-50 THEN least(1e50, greatest(-1e50, chunk.score))
                ELSE 0
            END AS value
        FROM unnest(ranked) AS chunk
    ),
    spread AS (
        SELECT
            least_value,
            greatest_value,
            mean,
            of_all,
            of_sample,
            -- Rounding tells equals apart by less than this.
            greatest_value - least_value
                <= 1e-12 * greatest(abs(least_value), abs(greatest_value)) AS flat,
            least_value - (greatest_value - least_value) / greatest(documents - 1, 1) AS floor
        FROM (
            SELECT
                count(*) AS documents,
                min(value) AS least_value,
                max(value) AS greatest_value,
                avg(value) AS mean,
                stddev_pop(value) AS of_all,
                stddev_samp(value) AS of_sample
            FROM bounded
            WHERE passage = 1
        ) AS best
    )
    SELECT
        document_id,
        position,
        score,
        rank,
        passage,
        CASE
            WHEN fusion = 'theoretical' AND greatest_value > 0 THEN value / greatest_value
            WHEN flat THEN CASE fusion WHEN 'zscore' THEN 0 WHEN 'distribution' THEN 0.5 ELSE 1 END
            WHEN fusion = 'convex' THEN (value - floor) / (greatest_value - floor)
            WHEN fusion = 'zscore' THEN (value - mean) / of_all
            WHEN fusion = 'distribution' THEN 0.5 + (value - mean) / (6 * of_sample)
            ELSE (value - least_value) / (greatest_value - least_value)
        END,
        CASE
            WHEN flat THEN CASE fusion WHEN 'zscore' THEN -1 ELSE 0 END
            WHEN fusion = 'theoretical' AND stage = 'vector' AND greatest_value > 0
                THEN greatest(floor, least(0, least_value)) / greatest_value
            WHEN fusion = 'zscore' THEN (floor - mean) / of_all
            WHEN fusion = 'distribution' THEN least(0, 0.5 + (floor - mean) / (6 * of_sample))
            ELSE 0
        END
    FROM bounded CROSS JOIN spread
$function$;
