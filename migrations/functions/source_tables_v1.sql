-- Names the tables that rows of a relation may lie in: itself, its partitions and whoever inherits
-- from it. A statement on one of them fires no trigger but its own.
CREATE FUNCTION rankgres.source_tables_v1(source_relation oid)
RETURNS TABLE (relation regclass, kind "char")
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    WITH RECURSIVE member (id) AS (
        SELECT source_relation
        UNION
        SELECT inhrelid FROM member JOIN pg_inherits ON inhparent = member.id
    )
    SELECT pg_class.oid::regclass, relkind
    FROM member
    JOIN pg_class ON pg_class.oid = member.id
    ORDER BY pg_class.oid
$function$;
