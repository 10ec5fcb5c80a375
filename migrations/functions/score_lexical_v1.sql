-- BM25 scores of given chunks for a parsed query, as search_lexical gives them: what the lexical stage
-- says of chunks that it did not list itself. rank is NULL, for the same reason; passage is 1. A chunk
-- without any of the terms has 0, a chunk that is gone is left out.
CREATE FUNCTION rankgres.score_lexical_v1(
    scored_generation bigint,
    parsed rankgres.parsed_query,
    chunks rankgres.ranked_chunk [],
    heading_weight double precision
) RETURNS SETOF rankgres.ranked_chunk
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    generation rankgres.generation;
    statistics record;
    term record;
BEGIN
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = scored_generation;
    SELECT * INTO statistics FROM rankgres.lexical_statistics_v1(scored_generation);
    SELECT * INTO term
    FROM rankgres.lexical_terms_v1(scored_generation, parsed, statistics.chunk_total);
    IF term.terms IS NULL OR chunks = '{}' THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        $statement$
        SELECT document_id, position, %3$s, NULL::bigint, 1::bigint
        FROM (
            SELECT
                chunk.document_id,
                chunk.position,
                chunk.lexemes,
                greatest($4 * (1 - $5 + $5 * chunk.lexical_length / $3), 1e-9) AS saturation
            FROM unnest($7) AS given
            JOIN rankgres.%1$I AS chunk ON
                chunk.generation_id = %2$L
                AND chunk.document_id = given.document_id
                AND chunk.position = given.position
            OFFSET 0
        ) AS measured
        $statement$,
        'chunk_' || scored_generation,
        scored_generation,
        rankgres.lexical_score_v1(cardinality(term.terms), heading_weight <> 1)
    )
    USING
        term.terms, term.weights, statistics.mean_length, generation.bm25_k1, generation.bm25_b,
        heading_weight, chunks;
END
$function$;
