-- The share of a generation's chunks that satisfy a filter and a condition on the lexemes, from about
-- 100 pages of its table, and how many chunks these held. The pages are the same every time, so that
-- the same query is searched in the same way. None that satisfies counts as half a one: the share is
-- never 0.
CREATE FUNCTION rankgres.chunk_selectivity_v1(
    sampled_generation bigint,
    filter jsonpath,
    condition tsquery,
    OUT selectivity double precision,
    OUT sampled bigint
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    sampled_pages constant double precision := 100;
    relation regclass := format('rankgres.%I', 'chunk_' || sampled_generation);
    pages double precision := pg_relation_size(relation)
        / current_setting('block_size')::double precision;
BEGIN
    EXECUTE format(
        $statement$
        SELECT
            greatest(count(*) FILTER (WHERE %2$s), 0.5) / greatest(count(*), 1), count(*)
        FROM rankgres.%1$I TABLESAMPLE SYSTEM (%3$s) REPEATABLE (0)
        $statement$,
        'chunk_' || sampled_generation,
        concat_ws(
            ' AND ',
            CASE WHEN filter IS NOT NULL THEN 'filters @@ $1' END,
            CASE WHEN condition IS NOT NULL THEN 'lexemes @@ $2' END,
            CASE WHEN coalesce(filter::text, condition::text) IS NULL THEN 'true' END
        ),
        least(100, 100 * sampled_pages / greatest(pages, 1))
    ) INTO selectivity, sampled USING filter, condition;
END
$function$;
