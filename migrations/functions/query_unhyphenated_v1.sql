-- A text in which words joined by hyphens are words of their own: state-of-the-art is found as it is
-- and as "state of the art", because the parser gives both the same words at the same distances. Only
-- what the parser of Postgres reads as joined: hosts, dates and numbers keep their hyphens.
CREATE FUNCTION rankgres.query_unhyphenated_v1(words text) RETURNS text
LANGUAGE sql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
    SELECT CASE
        WHEN words !~ '[^\s-]-[^\s-]' THEN words
        WHEN words ~ '^[A-Za-z]+(?:-[A-Za-z]+)+$' THEN translate(words, '-', ' ')
        ELSE (
        SELECT string_agg(
            CASE
                -- The joined word, before its parts: numhword, asciihword, hword.
                WHEN tokid IN (15, 16, 17) THEN ''
                WHEN tokid = 12 AND token = '-' THEN ' '
                ELSE token
            END,
            '' ORDER BY place
        )
        FROM ts_parse('default', words) WITH ORDINALITY AS part (tokid, token, place)
        )
    END
$function$;
