-- The best passages of a list whose documents another list lacks: what that one's stage is still to
-- score.
CREATE FUNCTION rankgres.score_unlisted_v1(
    ranked rankgres.ranked_chunk [],
    other rankgres.ranked_chunk []
) RETURNS rankgres.ranked_chunk []
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
    SELECT coalesce(array_agg(ROW(chunk.*)::rankgres.ranked_chunk), '{}')
    FROM unnest(ranked) AS chunk
    WHERE chunk.passage = 1
        AND chunk.document_id NOT IN (SELECT listed.document_id FROM unnest(other) AS listed)
$function$;
