-- A parsed query with its misspelled words put right against the lexemes that the generation has, and
-- which lexeme became which. A word is taken for misspelled where none of its alternatives stands in
-- any chunk and it is of 4 letters or more, and of letters alone; its clause keeps what was typed beside
-- the correction. Phrases, field words and exclusions ask for what they say and stay as they are.
--
-- Of very many such words the first five are corrected: each takes some milliseconds.
CREATE FUNCTION rankgres.query_correct_v1(
    searched_generation bigint,
    parsed rankgres.parsed_query
) RETURNS TABLE (corrected rankgres.parsed_query, corrections jsonb)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
    max_looked_at constant integer := 50;
    max_corrected constant integer := 5;
    standing text [] := ARRAY(
        SELECT lexeme
        FROM rankgres.query_lexemes_v2(searched_generation, parsed.lexemes, parsed.frequencies)
    );
    all_standing tsvector;
    wrong text [];
    mended text [];
BEGIN
    corrected := parsed;
    corrections := '{}';
    IF cardinality(standing) < cardinality(parsed.lexemes) THEN
        all_standing := array_to_tsvector(standing);
        WITH hopeless AS MATERIALIZED (
            SELECT clause
            FROM unnest(parsed.clauses) AS clause
            WHERE NOT all_standing @@ clause AND parsed.condition @> clause IS NOT TRUE
        ),
        absent AS MATERIALIZED (
            SELECT
                lexeme,
                min(place) AS place,
                ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS term
            FROM (
                SELECT lexeme, place
                FROM unnest(parsed.lexemes) WITH ORDINALITY AS asked (lexeme, place)
                UNION ALL
                SELECT lexeme, NULL FROM unnest(standing) AS found (lexeme)
            ) AS either
            WHERE length(lexeme) >= 4 AND lexeme !~ '[[:digit:][:punct:][:space:]]'
            GROUP BY lexeme
            HAVING count(*) = count(place)
            ORDER BY 2
            LIMIT max_looked_at
        ),
        missing AS (
            SELECT lexeme, place
            FROM absent
            WHERE EXISTS (SELECT FROM hopeless WHERE hopeless.clause @> absent.term)
            ORDER BY place
            LIMIT max_corrected
        )
        SELECT array_agg(found.wrong), array_agg(found.mended)
        INTO wrong, mended
        FROM (
            SELECT
                missing.lexeme AS wrong,
                rankgres.lexeme_correction_v1(searched_generation, missing.lexeme) AS mended
            FROM missing
            ORDER BY missing.place
        ) AS found
        WHERE found.mended IS NOT NULL;
    END IF;

    IF wrong IS NOT NULL THEN
        SELECT jsonb_object_agg(pair.wrong, pair.mended) INTO corrections
        FROM unnest(wrong, mended) AS pair (wrong, mended);
        SELECT
            array_agg(put_right.lexeme ORDER BY put_right.place),
            array_agg(put_right.frequency ORDER BY put_right.place)
        INTO corrected.lexemes, corrected.frequencies
        FROM (
            SELECT
                coalesce(mended[array_position(wrong, asked.lexeme)], asked.lexeme) AS lexeme,
                least(sum(asked.frequency), 255)::integer AS frequency,
                min(asked.place) AS place
            FROM unnest(parsed.lexemes, parsed.frequencies) WITH ORDINALITY
                AS asked (lexeme, frequency, place)
            GROUP BY 1
        ) AS put_right;
        FOR place IN 1..cardinality(wrong) LOOP
            SELECT array_agg(ts_rewrite(
                clause,
                ('''' || wrong[place] || '''')::tsquery,
                (
                    '''' || wrong[place] || '''|'''
                    || replace(replace(mended[place], '\', '\\'), '''', '''''') || ''''
                )::tsquery
            ) ORDER BY number)
            INTO corrected.clauses
            FROM unnest(corrected.clauses) WITH ORDINALITY AS asked (clause, number);
        END LOOP;
    END IF;
    RETURN NEXT;
END
$function$;
