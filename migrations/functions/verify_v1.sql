-- Compares a collection's index with its source and returns what differs, a row a kind: see
-- generation_verify. No row: the index equals the source. With repair, exactly what differs is
-- queued. Every live generation is verified, each in one snapshot. Who may: see source_authorize.
CREATE FUNCTION rankgres.verify_v1(
    collection text,
    repair boolean DEFAULT false
) RETURNS TABLE (kind text, documents bigint, examples text [])
LANGUAGE plpgsql
-- Whoever attached a collection need not be able to read what is kept of it.
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
    verified constant bigint := rankgres.source_authorize_v1(verify_v1.collection);
BEGIN
    RETURN QUERY
    SELECT found.kind, sum(found.documents)::bigint, max(found.examples)
    FROM rankgres.generation
    CROSS JOIN LATERAL rankgres.generation_verify_v1(generation.id, repair) AS found
    WHERE generation.collection_id = verified AND generation.state IN ('building', 'active')
    GROUP BY found.kind;
END
$function$;

-- The public name. It stays while versions come and go behind it.
CREATE FUNCTION rankgres.verify(
    collection text,
    repair boolean DEFAULT false
) RETURNS TABLE (kind text, documents bigint, examples text [])
LANGUAGE sql
AS $function$
    SELECT * FROM rankgres.verify_v1(collection, repair)
$function$;
