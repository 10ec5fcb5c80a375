-- How many of a query's clauses a match has to satisfy, for the parameter match: 'any' is 1, 'all' is
-- all of them, a number is itself, a percentage its share rounded down; never fewer than 1 nor more
-- than there are.
CREATE FUNCTION rankgres.query_match_v1(match text, clause_count integer) RETURNS integer
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
DECLARE
    wanted numeric;
BEGIN
    IF match IS NULL OR match !~ '^(any|all|\d{1,6}|\d{1,3}%)$' THEN
        RAISE EXCEPTION 'match "%" is not understood', coalesce(match, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'match',
                HINT = 'use any, all, a number of words such as 3, or a share such as 75%';
    END IF;
    wanted := CASE
        WHEN match = 'any' THEN 1
        WHEN match = 'all' THEN clause_count
        WHEN match LIKE '%\%' THEN floor(clause_count * rtrim(match, '%')::numeric / 100)
        ELSE match::numeric
    END;
    RETURN greatest(1, least(wanted, clause_count));
END
$function$;
