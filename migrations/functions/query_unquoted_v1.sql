-- A query with the words of its phrases in place of the phrases: nothing demanded for having been
-- quoted. An excluded phrase stays one.
CREATE FUNCTION rankgres.query_unquoted_v1(query text) RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
    SELECT regexp_replace(
        query,
        '(-(?:(?:heading|title|text):)?["“”„][^"“”„]*["“”„])|["“”„]([^"“”„]*)["“”„]',
        '\1 \2 ',
        'gi'
    )
$function$;
