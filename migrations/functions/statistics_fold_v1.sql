-- Moves the appended changes of a generation's BM25 statistics into their base rows, and returns how
-- many it moved. Readers see the same sums before and after. Returns 0 at once where another
-- session is folding the same generation.
CREATE FUNCTION rankgres.statistics_fold_v1(folded_generation bigint) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    moved bigint;
    shrunk text [];
BEGIN
    IF NOT pg_try_advisory_xact_lock(
        hashtextextended('rankgres.statistics_fold', folded_generation)
    ) THEN
        RETURN 0;
    END IF;
    WITH change AS (
        DELETE FROM rankgres.chunk_total_change WHERE generation_id = folded_generation
        RETURNING chunk_count, document_count, lexical_length
    )
    INSERT INTO rankgres.chunk_total (generation_id, chunk_count, document_count, lexical_length)
    SELECT folded_generation, sum(chunk_count), sum(document_count), sum(lexical_length)
    FROM change
    HAVING count(*) > 0
    ON CONFLICT (generation_id) DO UPDATE SET
        chunk_count = chunk_total.chunk_count + excluded.chunk_count,
        document_count = chunk_total.document_count + excluded.document_count,
        lexical_length = chunk_total.lexical_length + excluded.lexical_length;

    WITH change AS (
        DELETE FROM rankgres.lexeme_change WHERE generation_id = folded_generation
        RETURNING lexeme, chunk_count
    ),
    net AS (
        SELECT lexeme, sum(chunk_count) AS difference, count(*) AS changes
        FROM change
        GROUP BY lexeme
    ),
    folded AS (
        INSERT INTO rankgres.lexeme (generation_id, lexeme, chunk_count)
        SELECT folded_generation, lexeme, difference FROM net WHERE difference <> 0
        ON CONFLICT (generation_id, lexeme) DO UPDATE SET
            chunk_count = lexeme.chunk_count + excluded.chunk_count
    )
    SELECT coalesce(sum(changes), 0), array_agg(lexeme) FILTER (WHERE difference < 0)
    INTO moved, shrunk
    FROM net;
    -- Only what shrank can have come to nothing; a look at every lexeme would cost each fold.
    DELETE FROM rankgres.lexeme
    WHERE generation_id = folded_generation AND lexeme = ANY (shrunk) AND chunk_count = 0;
    RETURN moved;
END
$function$;
