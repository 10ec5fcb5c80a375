-- Fused documents as a search wants them: with recency and boosts on their scores, those under
-- min_score gone, cut at the wanted number of falls and to the wanted number, and made diverse.
CREATE FUNCTION rankgres.search_shape_v1(
    shaped_generation bigint,
    documents rankgres.fused_document [],
    profile jsonb
) RETURNS rankgres.fused_document []
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    wanted integer := (profile ->> 'candidates')::integer;
    falls constant integer := (profile ->> 'autocut')::integer;
    metadata jsonb [];
    scores double precision [];
BEGIN
    IF profile ? 'recency' OR profile ? 'boosts' THEN
        EXECUTE format(
            'SELECT array_agg(chunk.filters ORDER BY place), array_agg(document.score ORDER BY place)
            FROM unnest($1) WITH ORDINALITY AS document (
                document_id, score, lexical_rank, lexical_score, vector_rank, vector_score, position, place
            )
            LEFT JOIN rankgres.%1$I AS chunk ON
                chunk.generation_id = %2$L
                AND chunk.document_id = document.document_id
                AND chunk.position = document.position',
            'chunk_' || shaped_generation,
            shaped_generation
        ) INTO metadata, scores USING documents;
        scores := rankgres.boost_scores_v1(
            scores, metadata, profile -> 'recency', profile -> 'boosts'
        );
        documents := ARRAY(
            SELECT ROW(
                document_id, boosted, lexical_rank, lexical_score, vector_rank, vector_score, position
            )::rankgres.fused_document
            FROM unnest(documents) WITH ORDINALITY AS document (
                document_id, score, lexical_rank, lexical_score, vector_rank, vector_score, position, place
            )
            JOIN unnest(scores) WITH ORDINALITY AS new (boosted, place) USING (place)
            ORDER BY boosted DESC, document_id COLLATE "C"
        );
    END IF;
    scores := ARRAY(
        SELECT score FROM unnest(documents) AS document
        WHERE NOT profile ? 'min_score' OR score >= (profile ->> 'min_score')::double precision
    );
    wanted := least(wanted, cardinality(scores));
    IF falls > 0 THEN
        wanted := least(wanted, rankgres.autocut_v1(scores, falls));
    END IF;
    documents := documents[:wanted];
    IF (profile ->> 'diversity')::double precision > 0 THEN
        documents := ARRAY(
            SELECT documents[chosen.candidate]
            FROM rankgres.diversify_v1(
                shaped_generation,
                ARRAY(SELECT document_id FROM unnest(documents) AS document),
                ARRAY(SELECT position FROM unnest(documents) AS document),
                scores[:wanted],
                (profile ->> 'diversity')::double precision
            ) AS chosen
            ORDER BY chosen.place
        );
    END IF;
    RETURN documents;
END
$function$;
