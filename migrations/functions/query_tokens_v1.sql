-- The words and phrases of a query as people write them for web search, in order. What joins a clause
-- (a OR b) has one clause number; every other token has its own. See query_parse, which says what
-- the syntax means.
--
-- One pass of one expression, which nothing makes go back: a quote opens where a later one closes it,
-- and stands for itself otherwise; a hyphen excludes at the beginning of a word alone, before one
-- word or phrase, so that --amend, state-of-the-art and a dash between blanks stay text.
CREATE FUNCTION rankgres.query_tokens_v1(query text)
RETURNS TABLE (clause bigint, excluded boolean, field text, quoted boolean, words text)
LANGUAGE sql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
    WITH matched AS (
        SELECT
            found.place,
            found.part[1] IS NOT NULL AS excluded,
            lower(found.part[2]) AS field,
            found.part[3] IS NOT NULL AS quoted,
            coalesce(found.part[3], found.part[4]) AS words
        FROM regexp_matches(
            -- Typed quotes and blanks are those of the keyboard.
            translate(query, U&'\201C\201D\201E\00A0\3000', '"""  '),
            '((?<!\S)-(?!-))?(?:(heading|title|text):(?=[^\s]))?(?:"([^"]*)"|([^\s"]+"*))',
            'gi'
        ) WITH ORDINALITY AS found (part, place)
    ),
    operand AS (
        SELECT
            matched.*,
            matched.words = 'OR' AND NOT matched.quoted AND NOT matched.excluded
                AND matched.field IS NULL AS is_or
        FROM matched
    ),
    joined AS (
        SELECT
            operand.*,
            operand.is_or
                AND lag(NOT (operand.is_or OR operand.excluded), 1, false) OVER in_order
                AND lead(NOT (operand.is_or OR operand.excluded), 1, false) OVER in_order AS joins
        FROM operand
        WINDOW in_order AS (ORDER BY operand.place)
    ),
    numbered AS (
        SELECT
            joined.*,
            -- A token begins a clause unless OR stands before it.
            count(*) FILTER (WHERE NOT joined.joins AND NOT joined.follows) OVER (
                ORDER BY joined.place
            ) AS clause
        FROM (
            SELECT joined.*, lag(joined.joins, 1, false) OVER (ORDER BY joined.place) AS follows
            FROM joined
        ) AS joined
    )
    SELECT numbered.clause, numbered.excluded, numbered.field, numbered.quoted, numbered.words
    FROM numbered
    WHERE NOT numbered.joins
    ORDER BY numbered.place
$function$;
