-- Tells how many rows of its source belong to a collection, as the planner estimates it; counted where
-- that is no more than count_limit, and a table's own.
CREATE FUNCTION rankgres.source_rows_v1(
    counted_collection bigint,
    count_limit bigint,
    OUT estimate bigint,
    OUT counted boolean
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $function$
DECLARE
    belonging constant text := (
        SELECT document.rows FROM rankgres.source_row_v1(counted_collection) AS document
    );
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT FROM ' || belonging INTO plan;
    estimate := (plan -> 0 -> 'Plan' ->> 'Plan Rows')::double precision::bigint;
    -- What a view or another server would do to count is not known.
    counted := estimate <= count_limit AND (
        SELECT relkind IN ('r', 'p', 'm')
        FROM rankgres.source
        JOIN pg_class ON pg_class.oid = source.relation
        WHERE source.collection_id = counted_collection
    );
    IF counted THEN
        EXECUTE 'SELECT count(*) FROM ' || belonging INTO estimate;
    END IF;
END
$function$;
