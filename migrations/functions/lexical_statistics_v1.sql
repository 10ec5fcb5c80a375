-- What BM25 needs to know of a generation: how many chunks it has, and how many lexemes these have on
-- average. Both are NULL for a generation without chunks.
CREATE FUNCTION rankgres.lexical_statistics_v1(
    searched_generation bigint,
    OUT chunk_total double precision,
    OUT mean_length double precision
)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    SELECT
        nullif(sum(total.chunk_count), 0),
        sum(total.lexical_length)::double precision / nullif(sum(total.chunk_count), 0)
    FROM (
        SELECT chunk_count, lexical_length FROM rankgres.chunk_total
        WHERE generation_id = searched_generation
        UNION ALL
        SELECT chunk_count, lexical_length FROM rankgres.chunk_total_change
        WHERE generation_id = searched_generation
    ) AS total
$function$;
