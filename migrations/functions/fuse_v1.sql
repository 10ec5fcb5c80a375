-- Two ranked lists made one: the documents of either, best first, with every rank and score of both
-- and the position of the passage to show. The same lists give the same order: ties are broken by id.
--
-- fusion 'rrf' sums 1 / (rrf_k + rank), nothing for a list that lacks the document (Cormack et al.,
-- "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods", 2009). The
-- others sum scores, each list's on its own scale; score_scale says which: convex, relative_score,
-- theoretical, zscore, distribution. lexical_weight is the lexical list's share, the rest is the other's.
--
-- A list may hold several passages of a document; its best, passage 1, stands for it. What to show is
-- the passage that is best by both lists together, and so may be the best of neither.
CREATE FUNCTION rankgres.fuse_v1(
    lexical rankgres.ranked_chunk [],
    nearest rankgres.ranked_chunk [],
    fusion text,
    lexical_weight double precision,
    rrf_k integer
) RETURNS TABLE (
    document_id text,
    score double precision,
    lexical_rank bigint,
    lexical_score double precision,
    vector_rank bigint,
    vector_score double precision,
    "position" integer
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
DECLARE
    known constant text [] :=
        '{convex,relative_score,theoretical,zscore,distribution,rrf}';
BEGIN
    IF fusion IS NULL OR fusion <> ALL (known) THEN
        RAISE EXCEPTION 'fusion "%" is not known', fusion
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'fusion',
                HINT = 'use ' || array_to_string(known[:5], ', ') || ' or rrf';
    ELSIF lexical_weight IS NULL OR lexical_weight NOT BETWEEN 0 AND 1 THEN
        RAISE EXCEPTION 'lexical_weight % is not between 0 and 1', lexical_weight
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'lexical_weight',
                HINT = 'the vector stage gets the rest of 1';
    ELSIF rrf_k IS NULL OR rrf_k < 1 THEN
        RAISE EXCEPTION 'rrf_k is %', coalesce(rrf_k::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'rrf_k', HINT = 'use 1 or more';
    END IF;
    RETURN QUERY
    WITH words AS MATERIALIZED (
        SELECT * FROM rankgres.score_scale_v1(lexical, 'lexical', fusion)
    ),
    near AS MATERIALIZED (
        SELECT * FROM rankgres.score_scale_v1(nearest, 'vector', fusion)
    ),
    -- A list that is empty tells nothing of what it lacks.
    missing AS (
        SELECT
            coalesce((SELECT missing FROM words LIMIT 1), 0) AS from_words,
            coalesce((SELECT missing FROM near LIMIT 1), 0) AS from_near
    ),
    fused AS (
        SELECT
            document_id,
            CASE fusion
                WHEN 'rrf' THEN
                    coalesce(lexical_weight / (rrf_k::double precision + words.rank), 0)
                    + coalesce((1 - lexical_weight) / (rrf_k::double precision + near.rank), 0)
                ELSE
                    lexical_weight * coalesce(words.scaled, missing.from_words)
                    + (1 - lexical_weight) * coalesce(near.scaled, missing.from_near)
            END AS score,
            words.rank AS lexical_rank,
            words.score AS lexical_score,
            near.rank AS vector_rank,
            near.score AS vector_score
        FROM (SELECT * FROM words WHERE passage = 1) AS words
        FULL JOIN (SELECT * FROM near WHERE passage = 1) AS near USING (document_id)
        CROSS JOIN missing
    ),
    shown AS (
        SELECT DISTINCT ON (document_id COLLATE "C") document_id, position
        FROM words
        FULL JOIN near USING (document_id, position)
        CROSS JOIN missing
        ORDER BY
            document_id COLLATE "C",
            -- A passage that a list has is no worse for it than one that the list lacks.
            lexical_weight * greatest(words.scaled, missing.from_words)
                + (1 - lexical_weight) * greatest(near.scaled, missing.from_near) DESC,
            least(words.passage, near.passage),
            position
    )
    SELECT
        fused.document_id, fused.score, fused.lexical_rank, fused.lexical_score,
        fused.vector_rank, fused.vector_score, shown.position
    FROM fused JOIN shown USING (document_id)
    ORDER BY fused.score DESC, fused.document_id COLLATE "C";
END
$function$;
