-- The tsquery of words that stand in this order and as close as here, under any of some text-search
-- configurations: "the lord of the rings" is 'lord' <3> 'ring'. NULL where none leaves anything of
-- them, as of stop words; everywhere tells whether each leaves something. label is a weight that the
-- lexemes must have, or ''.
--
-- Made of the positions in the words' tsvector and quoted lexemes, never of text, which would be
-- stemmed a second time. Of a very long phrase the first 255 words count.
CREATE FUNCTION rankgres.query_phrase_v1(
    configs text [],
    words text,
    label text DEFAULT '',
    OUT phrase tsquery,
    OUT everywhere boolean
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
BEGIN
    WITH entry AS (
        SELECT config.place AS config, entry.lexeme, "position"
        FROM unnest(configs) WITH ORDINALITY AS config (name, place)
        CROSS JOIN LATERAL unnest(
            rankgres.lexemes_v1(config.name, rankgres.query_unhyphenated_v1(words))
        ) AS entry
        CROSS JOIN LATERAL unnest(entry.positions) AS "position"
    ),
    -- What a dictionary gives for one word are alternatives.
    slot AS (
        SELECT
            config,
            "position",
            lag("position") OVER (PARTITION BY config ORDER BY "position") AS before,
            row_number() OVER (PARTITION BY config ORDER BY "position") AS place,
            '(' || string_agg(
                '''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || ''''
                    || coalesce(':' || nullif(label, ''), ''),
                '|' ORDER BY lexeme COLLATE "C"
            ) || ')' AS alternatives
        FROM entry
        GROUP BY config, "position"
    ),
    in_order AS (
        SELECT
            config,
            string_agg(
                coalesce('<' || ("position" - before) || '>', '') || alternatives,
                '' ORDER BY place
            ) AS slots
        FROM slot
        WHERE place <= 255
        GROUP BY config
    )
    SELECT
        string_agg(DISTINCT '(' || slots || ')', '|')::tsquery,
        count(*) = cardinality(configs)
    INTO phrase, everywhere
    FROM in_order;
END
$function$;
