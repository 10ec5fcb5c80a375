-- What a query asks of the lexemes, in the syntax that people know from web search:
--   rotate access keys      words and questions: each of them counts, none has to be there
--   keys, excluding API keys
--                           what a question of words alone says it is not about does not count
--   "rotate a key"          a phrase that every match has, and that counts
--                           (in a sentence of more than 8 other words and no operator, quotes are a
--                           writer's, around a title or a term, and ask for nothing)
--   -draft -"old version"   words and phrases that no match has
--   rotate OR renew         alternatives, one clause; with a phrase among them, one of them has to be
--                           there
--   heading:keys            (or title:) a word or phrase that the heading of every match has;
--   text:"a key"            that its text has
-- What is not one of these is text: http://host, std::vector, 10:30, an inch sign, a dash. No text is
-- an error.
--
-- A word is analysed under every configuration that the generation's documents were; its lexemes
-- there are alternatives. Among several configurations, the one that takes most of the words for stop
-- words tells the query's language, and these words do not score: elsewhere they are rare, and would
-- say most. A query of nothing else scores as it is.
--
-- Of a text longer than any question the beginning is read, of very many conditions the first hold.
--
-- Planned once a session, for any arrays: planning for those at hand takes 1.5 ms, the rest 0.1 to 0.5.
CREATE FUNCTION rankgres.query_parse_v1(
    searched_generation bigint,
    query text,
    language text DEFAULT NULL
) RETURNS rankgres.parsed_query
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
    max_characters constant integer := 65536;
    max_conditions constant integer := 255;
    max_words_around_phrases constant integer := 8;
    configs text [] := rankgres.generation_configs_v1(searched_generation, language);
    -- Every word that scores, and the clause that it is an alternative of; NULL: a phrase's word.
    words text [];
    clause_numbers bigint [];
    phrases tsquery [];
    parsed rankgres.parsed_query;
BEGIN
    query := left(query, max_characters);
    IF query ~ '["“”„]'
        AND regexp_count(regexp_replace(query, '["“”„][^"“”„]*["“”„]', ' ', 'g'), '\S+')
            > max_words_around_phrases
        AND query !~ '(^|\s)-[^\s-]|(heading|title|text):\S|\sOR\s'
    THEN
        query := rankgres.query_unquoted_v1(query);
    END IF;
    IF query !~ '["\u201c-\u201e\u00a0\u3000]|(?:^|\s)-|\mOR\M'
        AND query !~* '(?:heading|title|text):'
    THEN
        words := string_to_array(
            rankgres.query_words_v1(rankgres.query_unexcluded_v1(query)), ' '
        );
        SELECT array_agg(place) INTO clause_numbers
        FROM generate_series(1, cardinality(words)) AS place;
    ELSE
        WITH token AS MATERIALIZED (
            SELECT
                token.*,
                NOT token.excluded AND bool_or(token.quoted OR token.field IS NOT NULL)
                    OVER (PARTITION BY token.clause) AS required,
                count(*) OVER (PARTITION BY token.clause) = 1 AS alone
            FROM rankgres.query_tokens_v1(query) AS token
        ),
        word AS (
            SELECT
                word.word,
                CASE
                    WHEN token.required THEN NULL
                    -- Of a script without blanks every pair of letters is a word.
                    WHEN token.alone THEN row_number() OVER ()
                    ELSE -token.clause
                END AS clause_number
            FROM token
            CROSS JOIN LATERAL
                string_to_table(rankgres.query_words_v1(token.words), ' ') AS word (word)
            WHERE NOT token.excluded
        ),
        term AS (
            SELECT
                asked.clause,
                asked.excluded,
                string_agg(found.phrase::text, '|') AS alternatives,
                bool_and(found.everywhere) AS everywhere
            FROM (
                SELECT * FROM token
                WHERE token.required OR token.excluded
                ORDER BY token.clause
                LIMIT max_conditions
            ) AS asked
            CROSS JOIN LATERAL rankgres.query_phrase_v1(
                configs,
                asked.words,
                CASE asked.field WHEN 'text' THEN 'D' WHEN 'heading' THEN 'A' WHEN 'title' THEN 'A'
                    ELSE '' END
            ) AS found
            GROUP BY asked.clause, asked.excluded
        )
        SELECT
            (SELECT array_agg(word.word) FROM word),
            (SELECT array_agg(word.clause_number) FROM word),
            array_agg(DISTINCT term.alternatives::tsquery) FILTER (WHERE NOT term.excluded),
            -- Under a configuration that leaves nothing of it, nothing can be asked.
            string_agg(
                DISTINCT CASE WHEN term.excluded THEN '!' ELSE '' END || '(' || term.alternatives || ')',
                '&'
            ) FILTER (WHERE term.excluded OR term.everywhere)::tsquery
        INTO words, clause_numbers, phrases, parsed.condition
        FROM term
        WHERE term.alternatives IS NOT NULL;
    END IF;

    -- Without a join: of 5,000 words it would be a slow one, in a plan made for any number.
    WITH word AS MATERIALIZED (
        SELECT
            word,
            CASE WHEN word ~ '[^-]-[^-]' THEN rankgres.query_unhyphenated_v1(word) ELSE word END
                AS unhyphenated,
            count(*) AS times,
            min(place) AS place,
            array_agg(clause) FILTER (WHERE clause IS NOT NULL) AS clauses
        FROM unnest(words, clause_numbers) WITH ORDINALITY AS said (word, clause, place)
        WHERE word <> ''
        GROUP BY word
    ),
    analysed AS MATERIALIZED (
        SELECT
            word.*,
            config.number,
            rankgres.lexemes_v1(config.name, word.word) AS lexemes,
            CASE WHEN word.unhyphenated <> word.word
                THEN rankgres.lexemes_v1(config.name, word.unhyphenated) END AS unhyphenated_lexemes
        FROM word
        CROSS JOIN unnest(configs) WITH ORDINALITY AS config (name, number)
    ),
    -- The configuration of the query's language, where stop words tell it.
    spoken AS (
        SELECT max(number) AS number
        FROM (
            SELECT number, rank() OVER (ORDER BY count(*) DESC) AS rank
            FROM (
                SELECT
                    number,
                    length(lexemes) = 0
                        AND max(length(lexemes)) OVER (PARTITION BY word) > 0 AS stop_word
                FROM analysed
                WHERE cardinality(configs) > 1
            ) AS compared
            WHERE stop_word
            GROUP BY number
            HAVING count(*) >= 2
        ) AS told
        WHERE rank = 1
        HAVING count(*) = 1
    ),
    weighed AS (
        SELECT
            analysed.*,
            bool_or(length(lexemes) = 0 AND number = (SELECT spoken.number FROM spoken))
                OVER (PARTITION BY word) IS TRUE AS of_no_weight
        FROM analysed
    ),
    counted AS (
        SELECT
            entry.lexeme,
            weighed.number,
            sum(weighed.times * cardinality(entry.positions)) AS frequency,
            min(weighed.place) AS place,
            bool_and(weighed.of_no_weight) AS of_no_weight
        FROM weighed CROSS JOIN LATERAL unnest(weighed.lexemes) AS entry
        GROUP BY entry.lexeme, weighed.number
    ),
    scored AS (
        SELECT
            lexeme,
            -- A tsvector keeps as many.
            least(max(frequency), 255)::integer AS frequency,
            min(place) AS place
        FROM counted
        WHERE NOT of_no_weight OR (SELECT bool_and(of_no_weight) FROM counted)
        GROUP BY lexeme
    ),
    slot AS (
        SELECT
            analysed.word,
            analysed.number,
            analysed.clauses,
            string_agg(
                '''' || replace(replace(entry.lexeme, '\', '\\'), '''', '''''') || '''', '|'
                ORDER BY entry.lexeme COLLATE "C"
            ) AS alternatives
        FROM analysed
        CROSS JOIN LATERAL
            unnest(coalesce(analysed.unhyphenated_lexemes, analysed.lexemes)) AS entry
        CROSS JOIN LATERAL unnest(entry.positions) AS "position"
        WHERE analysed.clauses IS NOT NULL
        GROUP BY analysed.word, analysed.number, analysed.clauses, "position"
    ),
    -- What one configuration leaves nothing of cannot be asked of its documents.
    term AS (
        SELECT clauses, string_agg(DISTINCT slots, '|') AS term
        FROM (
            SELECT
                word,
                clauses,
                '(' || string_agg(DISTINCT '(' || alternatives || ')', '&') || ')' AS slots
            FROM slot
            GROUP BY word, clauses, number
        ) AS in_one
        GROUP BY word, clauses
        HAVING count(*) = cardinality(configs)
    ),
    clause AS (
        SELECT string_agg(DISTINCT term.term, '|')::tsquery AS clause
        FROM term CROSS JOIN LATERAL unnest(term.clauses) AS member (clause)
        GROUP BY member.clause
        UNION
        SELECT unnest(phrases)
    )
    SELECT
        coalesce((SELECT array_agg(lexeme ORDER BY place, lexeme COLLATE "C") FROM scored), '{}'),
        coalesce((SELECT array_agg(frequency ORDER BY place, lexeme COLLATE "C") FROM scored), '{}'),
        coalesce((SELECT array_agg(clause ORDER BY clause) FROM clause), '{}')
    INTO parsed.lexemes, parsed.frequencies, parsed.clauses;
    RETURN parsed;
END
$function$;
