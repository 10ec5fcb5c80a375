-- The lexemes of text of any length: of as much of its beginning as half a tsvector holds, which
-- leaves room for a heading. Slower than to_tsvector, which raises an error there; see lexemes_v1.
CREATE FUNCTION rankgres.lexemes_bounded_v1(text_search_config regconfig, words text)
RETURNS tsvector
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    found tsvector;
BEGIN
    LOOP
        BEGIN
            found := to_tsvector(text_search_config, words);
            -- A tsvector holds 1 MB, and a heading as large may come to it.
            IF pg_column_size(found) <= 480 * 1024 THEN
                RETURN found;
            END IF;
        EXCEPTION WHEN program_limit_exceeded THEN
            -- Half of it is tried next.
        END;
        words := left(words, length(words) / 2);
    END LOOP;
END
$function$;
