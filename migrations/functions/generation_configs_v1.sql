-- The text-search configurations that a query of the generation is analysed under: the generation's
-- own, and those that its documents were given instead. For 'auto', which is none itself, a language
-- picks its configuration alone; any other generation has made its choice, and language is ignored.
CREATE FUNCTION rankgres.generation_configs_v1(
    searched_generation bigint,
    language text DEFAULT NULL
) RETURNS text []
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    own text;
    automatic boolean;
    accents text;
    given text [];
BEGIN
    SELECT
        generation.text_search_config,
        generation.text_search_config IN ('auto', 'unaccent+auto'),
        substring(generation.text_search_config FROM '^unaccent\+')
    INTO STRICT own, automatic, accents
    FROM rankgres.generation
    WHERE generation.id = searched_generation;
    IF automatic AND language IS NOT NULL THEN
        own := rankgres.language_config_v1(language);
        IF own IS NULL THEN
            RAISE EXCEPTION 'language "%" is not known', language
                USING ERRCODE = 'invalid_parameter_value', COLUMN = 'language',
                    HINT = 'use a code such as de or pt-BR, or leave it out: '
                        'then documents of every language are found';
        END IF;
        RETURN ARRAY[concat(accents, own)];
    END IF;
    given := ARRAY(
        SELECT DISTINCT spoken.text_search_config
        FROM rankgres.generation_language AS spoken
        WHERE spoken.generation_id = searched_generation
        ORDER BY spoken.text_search_config
    );
    RETURN CASE
        WHEN NOT automatic THEN own || array_remove(given, own)
        -- No document yet.
        WHEN given = '{}' THEN ARRAY[concat(accents, 'simple')]
        ELSE given
    END;
END
$function$;
