-- The word that stands for a lexeme in chunk.textsearch_words. The parser of text-search configurations
-- finds exactly this one word in it, whatever the lexeme holds, so that analysing lexemes a second
-- time changes nothing: letters a to z, or digits, stand for themselves, anything else is spelled in
-- hexadecimal after x0, or, too long for that, hashed after x1. No two lexemes share a word.
CREATE FUNCTION rankgres.textsearch_word_v1(lexeme text) RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
AS $function$
    SELECT CASE
        WHEN lexeme ~ '^([a-z]+|[0-9]+)$' THEN lexeme
        -- A word of more than 2046 bytes would be dropped.
        WHEN octet_length(lexeme) > 1000 THEN 'x1' || md5(lexeme)
        ELSE 'x0' || encode(convert_to(lexeme, 'UTF8'), 'hex')
    END
$function$;
