-- Ways to complete what somebody types: titles that begin with all of it, and the generation's lexemes
-- that begin with its last word, those of most chunks first. Both kinds take turns, so that neither
-- hides the other. Lexemes are as the index has them, which for most languages are stems.
--
-- Bounded for any prefix: of the titles the first 100 in the alphabet are looked at, and their chunks
-- are counted to 1000; of the lexemes 100,000. Each title is one step down the index that
-- chunk_suggest_index makes, however many chunks share it. With 500,000 lexemes and 20,000 titles one
-- letter takes 40 to 60 ms, three take 3.
CREATE FUNCTION rankgres.suggest_v1(collection text, prefix text, suggestions integer)
RETURNS TABLE (suggestion text, kind text, chunk_count bigint)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
DECLARE
    max_titles constant integer := 100;
    max_counted constant integer := 1000;
    max_lexemes constant integer := 100000;
    last_letter constant text := U&'\+10FFFF';
    -- As the index has them, so that it is used.
    title constant text := 'lower(left(split_part(heading, '' > '', 1), 200)) COLLATE "C"';
    titled constant text := 'heading <> '''' AND heading NOT LIKE ''…%''';
    searched_generation bigint;
    strip_accents boolean;
    typed text := lower(regexp_replace(left(coalesce(prefix, ''), 1024), '^\s+', ''));
    -- Without the quotes and brackets that it may begin with.
    last_word text := ltrim(substring(typed FROM '[^\s]*$'), '"''([{<+-');
    before_it text := left(typed, length(typed) - length(last_word));
BEGIN
    IF suggestions IS NULL OR suggestions NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'suggestions must be between 1 and 1000, not %', suggestions
            USING ERRCODE = 'invalid_parameter_value',
                COLUMN = 'suggestions',
                HINT = 'ask for 10';
    END IF;
    SELECT generation.id, generation.text_search_config LIKE 'unaccent+%'
    INTO searched_generation, strip_accents
    FROM rankgres.generation
    JOIN rankgres.collection AS searched ON searched.id = generation.collection_id
    WHERE searched.name = suggest_v1.collection AND generation.state = 'active';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'collection "%" does not exist', collection
            USING ERRCODE = 'undefined_object',
                HINT = 'SELECT name FROM rankgres.collection';
    END IF;
    -- As lexemes are; a word that the analysis takes apart has none that begins with all of it.
    last_word := btrim(rankgres.lexemes_words_v1(last_word, strip_accents));
    IF last_word LIKE '% %' THEN
        last_word := '';
    END IF;
    RETURN QUERY EXECUTE format(
        $statement$
        WITH RECURSIVE title (key, step) AS (
            (
                SELECT %2$s, 1 FROM rankgres.%1$I
                WHERE %3$s AND $1 <> '' AND %2$s >= $1 AND %2$s < $1 || $3
                ORDER BY %2$s LIMIT 1
            )
            UNION ALL
            SELECT
                (
                    SELECT %2$s FROM rankgres.%1$I
                    WHERE %3$s AND %2$s > title.key AND %2$s < $1 || $3
                    ORDER BY %2$s LIMIT 1
                ),
                step + 1
            FROM title
            WHERE title.key IS NOT NULL AND step < $5
        ),
        heading AS (
            SELECT
                (
                    SELECT split_part(heading, ' > ', 1) FROM rankgres.%1$I
                    WHERE %3$s AND %2$s = title.key LIMIT 1
                ) AS suggestion,
                'heading' AS kind,
                (
                    SELECT count(*) FROM (
                        SELECT FROM rankgres.%1$I WHERE %3$s AND %2$s = title.key LIMIT $6
                    ) AS chunk
                ) AS chunk_count
            FROM title
            WHERE title.key IS NOT NULL
        ),
        -- Those that most chunks had when changes were last folded in, and all that changed since.
        candidate AS (
            (
                SELECT lexeme FROM (
                    SELECT lexeme, chunk_count FROM rankgres.lexeme
                    WHERE generation_id = %4$L AND $2 <> '' AND lexeme >= $2 AND lexeme < $2 || $3
                    LIMIT $7
                ) AS base
                ORDER BY chunk_count DESC, lexeme LIMIT 2 * $4
            )
            UNION
            SELECT lexeme FROM (
                SELECT lexeme FROM rankgres.lexeme_change
                WHERE generation_id = %4$L AND $2 <> '' AND lexeme >= $2 AND lexeme < $2 || $3
                LIMIT $7
            ) AS change
        ),
        lexeme AS (
            SELECT
                $8 || counted.lexeme AS suggestion,
                'lexeme' AS kind,
                counted.chunk_count
            FROM rankgres.query_lexemes_v2(
                %4$L, ARRAY(SELECT lexeme FROM candidate), NULL
            ) AS counted
            ORDER BY counted.chunk_count DESC, counted.lexeme COLLATE "C" LIMIT $4
        ),
        ranked AS (
            SELECT *, row_number() OVER (
                PARTITION BY kind ORDER BY chunk_count DESC, suggestion COLLATE "C"
            ) AS place
            FROM (SELECT * FROM heading UNION ALL SELECT * FROM lexeme) AS found
        )
        SELECT suggestion, kind, chunk_count FROM ranked ORDER BY place, kind LIMIT $4
        $statement$,
        'chunk_' || searched_generation,
        title,
        titled,
        searched_generation
    ) USING typed, last_word, last_letter, suggestions, max_titles, max_counted, max_lexemes,
        before_it;
END
$function$;

-- The public name. It stays while versions come and go behind it.
CREATE FUNCTION rankgres.suggest(
    collection text,
    prefix text,
    suggestions integer DEFAULT 10
) RETURNS TABLE (suggestion text, kind text, chunk_count bigint)
LANGUAGE sql
STABLE
AS $function$
    SELECT * FROM rankgres.suggest_v1(collection, prefix, suggestions)
$function$;
