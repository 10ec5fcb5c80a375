-- All texts at an edit distance of 1 from a word: a letter left out, swapped with the next, replaced by
-- one of the letters given, or one of them added; see edit_distance.
CREATE FUNCTION rankgres.edit_variants_v1(word text, letters text []) RETURNS text []
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
    SELECT array_agg(DISTINCT variant.text)
    FROM (
        SELECT left(word, place - 1) || substr(word, place + 1)
        FROM generate_series(1, length(word)) AS place
        UNION ALL
        SELECT left(word, place - 1)
            || reverse(substr(word, place, 2)) || substr(word, place + 2)
        FROM generate_series(1, length(word) - 1) AS place
        UNION ALL
        SELECT left(word, place - 1) || letter || substr(word, place + 1)
        FROM generate_series(1, length(word)) AS place, unnest(letters) AS letter
        UNION ALL
        SELECT left(word, place) || letter || substr(word, place + 1)
        FROM generate_series(0, length(word)) AS place, unnest(letters) AS letter
    ) AS variant (text)
    WHERE variant.text <> word
$function$;
