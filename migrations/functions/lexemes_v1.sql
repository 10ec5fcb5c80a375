-- The lexemes of a text with their positions, under a text-search configuration: the one analysis of
-- documents and queries. What Postgres does, over text prepared by lexemes_words, which says how, and
-- without an error for text of any length.
--
-- "unaccent+" before the configuration's name takes the accents off first.
CREATE FUNCTION rankgres.lexemes_v1(text_search_config text, content text) RETURNS tsvector
LANGUAGE sql
STABLE
AS $function$
    SELECT CASE
        -- Lexemes with positions take at most four times the bytes of their text.
        WHEN octet_length(content) > 65536 THEN
            rankgres.lexemes_bounded_v1(
                replace(text_search_config, 'unaccent+', '')::regconfig,
                rankgres.lexemes_words_v1(content, text_search_config LIKE 'unaccent+%')
            )
        -- ASCII needs no more than this, and most text is that; as in lexemes_words.
        WHEN octet_length(content) = length(content) THEN
            to_tsvector(
                replace(text_search_config, 'unaccent+', '')::regconfig,
                replace(replace(regexp_replace(
                    content, '(?<=[a-zA-Z_])[./](?=[a-zA-Z_])|(?<![a-zA-Z0-9_:/<])/(?=[a-zA-Z_])', ' ', 'g'
                ), '<', ' '), '>', ' ')
            )
        ELSE
            to_tsvector(
                replace(text_search_config, 'unaccent+', '')::regconfig,
                rankgres.lexemes_words_v1(content, text_search_config LIKE 'unaccent+%')
            )
    END
$function$;
