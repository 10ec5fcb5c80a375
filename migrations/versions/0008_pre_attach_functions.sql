-- Row security of attached tables beside the chunks themselves: see generation_row_security. Where it
-- applies to a role, it reads no chunk through the parent and no lexeme, for lexemes are words of rows
-- that it may not see: completions and corrections, which come from them, are left out by that. Owners
-- of the schema are not concerned. A list of generations once a query costs each row next to nothing.
ALTER TABLE rankgres.chunk ENABLE ROW LEVEL SECURITY;
CREATE POLICY chunk_open ON rankgres.chunk FOR SELECT
USING (generation_id <> ALL ((SELECT rankgres.generation_secured_v1())::bigint []));
ALTER TABLE rankgres.lexeme ENABLE ROW LEVEL SECURITY;
CREATE POLICY lexeme_open ON rankgres.lexeme FOR SELECT
USING (generation_id <> ALL ((SELECT rankgres.generation_secured_v1())::bigint []));
ALTER TABLE rankgres.lexeme_change ENABLE ROW LEVEL SECURITY;
CREATE POLICY lexeme_change_open ON rankgres.lexeme_change FOR SELECT
USING (generation_id <> ALL ((SELECT rankgres.generation_secured_v1())::bigint []));

-- As it was for everybody else. A role under row security counts the chunks that it sees: so neither
-- words nor counts of others come out of a search.
CREATE OR REPLACE FUNCTION rankgres.query_lexemes_v2(
    searched_generation bigint,
    lexemes text [],
    frequencies integer []
) RETURNS TABLE (lexeme text, query_frequency integer, chunk_count bigint, term tsquery)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
BEGIN
    IF NOT coalesce(
        row_security_active(to_regclass('rankgres.chunk_' || searched_generation)::oid), false
    ) THEN
        RETURN QUERY
        SELECT
            counted.lexeme,
            counted.query_frequency,
            counted.chunk_count,
            ('''' || replace(replace(counted.lexeme, '\', '\\'), '''', '''''') || '''')::tsquery
        FROM (
            SELECT
                wanted.lexeme,
                wanted.query_frequency,
                -- A bigint: the sum of integers is one, and what the base holds as well.
                coalesce((
                    SELECT base.chunk_count FROM rankgres.lexeme AS base
                    WHERE base.generation_id = searched_generation AND base.lexeme = wanted.lexeme
                ), 0) + coalesce((
                    SELECT sum(change.chunk_count) FROM rankgres.lexeme_change AS change
                    WHERE change.generation_id = searched_generation AND change.lexeme = wanted.lexeme
                ), 0) AS chunk_count
            FROM unnest(lexemes, frequencies) AS wanted (lexeme, query_frequency)
            -- Keeps the counts from being looked up once more for the condition and the order.
            OFFSET 0
        ) AS counted
        WHERE counted.chunk_count > 0
        ORDER BY counted.chunk_count, counted.lexeme COLLATE "C";
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        $statement$
        WITH wanted AS MATERIALIZED (
            SELECT
                lexeme,
                query_frequency,
                ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS term
            FROM unnest($1, $2) AS given (lexeme, query_frequency)
        ),
        any_of_them AS (
            SELECT string_agg(term::text, ' | ')::tsquery AS condition FROM wanted
        )
        SELECT wanted.lexeme, wanted.query_frequency, count(*), wanted.term
        FROM rankgres.%I AS chunk
        JOIN wanted ON chunk.lexemes @@ wanted.term
        WHERE chunk.lexemes @@ (SELECT condition FROM any_of_them)
        GROUP BY wanted.lexeme, wanted.query_frequency, wanted.term
        ORDER BY count(*), wanted.lexeme COLLATE "C"
        $statement$,
        'chunk_' || searched_generation
    ) USING lexemes, frequencies;
END
$function$;
