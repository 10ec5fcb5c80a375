-- The words of a text as the analysis reads them, with one blank between two: those of scripts that
-- write no blanks are cut apart.
CREATE FUNCTION rankgres.query_words_v1(content text) RETURNS text
LANGUAGE sql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
    SELECT regexp_replace(
        CASE WHEN octet_length(content) = length(content) THEN content
            ELSE rankgres.lexemes_words_v1(content, false) END,
        '\s+', ' ', 'g'
    )
$function$;
