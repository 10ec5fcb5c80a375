-- The lexeme of the generation that one which stands nowhere was probably meant to be: with the same
-- first letter where there is one, nearest by edit distance, then in most chunks. One edit is taken for
-- a mistake in 4 to 7 letters, two in 8 and more. NULL where there is none.
--
-- The lexemes at one edit are asked for by name, some 1,000 of them. Of those at two edits, one edit or
-- none lies in the first four letters (both there are not looked for): what begins with one of the
-- variants of these is read from the primary key and measured. Among 500,000 lexemes the first takes
-- 2 to 4 ms, both together 4 to 15 ms.
CREATE FUNCTION rankgres.lexeme_correction_v1(searched_generation bigint, missing text) RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
    last_letter constant text := U&'\+10FFFF';
    first_letter constant text := left(missing, 1);
    letters text [];
    nearest text;
    farther text;
BEGIN
    IF length(missing) NOT BETWEEN 4 AND 40 THEN
        RETURN NULL;
    END IF;
    -- Those of the word's scripts: its letters' blocks of 128, of which Latin is known better.
    SELECT array_agg(DISTINCT chr(code)) INTO letters
    FROM (
        SELECT DISTINCT ascii(letter) / 128 AS number
        FROM string_to_table(missing, NULL) AS letter
        ORDER BY number
        LIMIT 3
    ) AS block
    CROSS JOIN LATERAL (
        SELECT generate_series(97, 122) AS code WHERE number = 0
        UNION ALL
        SELECT generate_series(223, 255) WHERE number IN (0, 1)
        UNION ALL
        SELECT generate_series(number * 128, number * 128 + 127) WHERE number > 1
    ) AS letter;

    SELECT lexeme INTO nearest
    FROM rankgres.query_lexemes_v2(
        searched_generation, rankgres.edit_variants_v1(missing, letters), NULL
    )
    ORDER BY left(lexeme, 1) = first_letter DESC, chunk_count DESC, lexeme COLLATE "C"
    LIMIT 1;
    IF left(nearest, 1) = first_letter OR length(missing) < 8 THEN
        RETURN nearest;
    END IF;

    FOR farther IN
        SELECT counted.lexeme
        FROM rankgres.query_lexemes_v2(
            searched_generation,
            ARRAY(
                SELECT DISTINCT begun.lexeme
                FROM unnest(
                    rankgres.edit_variants_v1(left(missing, 4), letters) || left(missing, 4)
                ) AS beginning
                CROSS JOIN LATERAL (
                    SELECT base.lexeme FROM rankgres.lexeme AS base
                    WHERE base.generation_id = searched_generation
                        AND base.lexeme >= beginning AND base.lexeme < beginning || last_letter
                    UNION ALL
                    SELECT change.lexeme FROM rankgres.lexeme_change AS change
                    WHERE change.generation_id = searched_generation
                        AND change.lexeme >= beginning AND change.lexeme < beginning || last_letter
                    -- Read from the index first, and looked at then.
                    OFFSET 0
                ) AS begun
                -- Quickly told: an edit brings or takes one letter at most.
                WHERE length(begun.lexeme) BETWEEN length(missing) - 2 AND length(missing) + 2
                    AND length(translate(begun.lexeme, missing, '')) <= 2
                    AND length(translate(missing, begun.lexeme, '')) <= 2
            ),
            NULL
        ) AS counted
        ORDER BY
            left(counted.lexeme, 1) = first_letter DESC,
            counted.chunk_count DESC,
            counted.lexeme COLLATE "C"
    LOOP
        -- At one edit stands none with this first letter; with another, it is nearer.
        CONTINUE WHEN nearest IS NOT NULL AND left(farther, 1) <> first_letter;
        IF rankgres.edit_distance_v1(missing, farther, 2) <= 2 THEN
            RETURN farther;
        END IF;
    END LOOP;
    RETURN nearest;
END
$function$;
