-- The lexemes of a query as the generation's documents have them, rarest first, with how often the
-- query says each, in how many chunks each stands, and as a tsquery of that one lexeme. Lexemes that
-- stand nowhere are left out. The tsquery is made of the quoted lexeme, never of text: text would
-- be stemmed a second time.
CREATE FUNCTION rankgres.query_lexemes_v1(
    searched_generation bigint,
    text_search_config text,
    query text
) RETURNS TABLE (lexeme text, query_frequency integer, chunk_count bigint, term tsquery)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    WITH wanted AS (
        SELECT entry.lexeme, coalesce(cardinality(entry.positions), 1) AS query_frequency
        FROM unnest(to_tsvector(text_search_config::regconfig, query)) AS entry
    ),
    counted AS (
        SELECT
            wanted.lexeme,
            wanted.query_frequency,
            coalesce((
                SELECT base.chunk_count FROM rankgres.lexeme AS base
                WHERE base.generation_id = searched_generation AND base.lexeme = wanted.lexeme
            ), 0) + coalesce((
                SELECT sum(change.chunk_count) FROM rankgres.lexeme_change AS change
                WHERE change.generation_id = searched_generation AND change.lexeme = wanted.lexeme
            ), 0) AS chunk_count
        FROM wanted
    )
    SELECT
        counted.lexeme,
        counted.query_frequency,
        counted.chunk_count,
        ('''' || replace(replace(counted.lexeme, '\', '\\'), '''', '''''') || '''')::tsquery
    FROM counted
    WHERE counted.chunk_count > 0
    ORDER BY counted.chunk_count, counted.lexeme
$function$;
