-- The lexemes of a parsed query that the generation's chunks have, rarest first, with how often the
-- query says each, in how many chunks each stands, and as a tsquery of that one lexeme. Lexemes that
-- stand nowhere are left out. The tsquery is made of the quoted lexeme, never of text: text would
-- be stemmed a second time.
CREATE FUNCTION rankgres.query_lexemes_v2(
    searched_generation bigint,
    lexemes text [],
    frequencies integer []
) RETURNS TABLE (lexeme text, query_frequency integer, chunk_count bigint, term tsquery)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
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
    ORDER BY counted.chunk_count, counted.lexeme COLLATE "C"
$function$;
