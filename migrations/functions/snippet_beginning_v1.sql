-- The beginning of a passage as an excerpt: up to the end of a sentence, where one ends in time, else
-- up to the end of a word.
CREATE FUNCTION rankgres.snippet_beginning_v1(content text) RETURNS text
LANGUAGE sql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
    SELECT CASE
        WHEN length(trimmed.content) <= shown.characters THEN trimmed.content
        ELSE coalesce(
            -- The longest run of whole sentences; the first one may not be longer than what is shown.
            substring(
                shown.beginning
                FROM '^.{20,}(?:[.!?]["''”’)]?(?=\s)|[。！？][」』”]?)'
            ),
            substring(shown.beginning FROM '^(.{20,})\s') || ' …',
            shown.beginning || '…'
        )
    END
    FROM (SELECT btrim(passage.content, E' \t\n\r') AS content FROM (SELECT content) AS passage) AS trimmed
    CROSS JOIN LATERAL (
        -- Han, kana and Hangul say in one character what others say in three.
        SELECT CASE WHEN left(trimmed.content, 100) ~ '[\u3040-\u9fff\uac00-\ud7a3]{4}' THEN 80 ELSE 200 END
    ) AS width (characters)
    CROSS JOIN LATERAL (
        SELECT width.characters, left(trimmed.content, width.characters + 1)
    ) AS shown (characters, beginning)
$function$;
