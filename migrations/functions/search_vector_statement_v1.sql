-- The statement that finds the chunks nearest to an embedding: by the HNSW index (plan hnsw, which
-- wants enable_sort off, so that no other path is taken), or by measuring every chunk that qualifies.
-- Parameters: $1 embedding, $2 filter, $3 condition, $4 chunks wanted, $5 chunks to take from the
-- index, of which the nearest are kept; it returns one row of three arrays, nearest first.
CREATE FUNCTION rankgres.search_vector_statement_v1(
    generation rankgres.generation, plan text, filtered boolean, conditioned boolean
) RETURNS text
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    SELECT format(
        $statement$
        SELECT array_agg(document_id), array_agg(position), array_agg(distance)
        FROM (
            SELECT document_id, position, distance
            FROM (
                SELECT document_id, position, %2$s AS distance
                FROM rankgres.%1$I
                WHERE %3$s
                ORDER BY %4$s
            ) AS scanned
            ORDER BY distance, document_id COLLATE "C", position
            LIMIT $4
        ) AS nearest
        $statement$,
        'chunk_' || generation.id,
        rankgres.generation_distance_v1(generation, '$1'),
        concat_ws(
            ' AND ',
            'true',
            CASE WHEN filtered THEN 'filters @@ $2' END,
            CASE WHEN conditioned THEN 'lexemes @@ $3' END
        ),
        CASE plan
            WHEN 'hnsw' THEN rankgres.generation_hnsw_order_v1(generation, '$1') || ' LIMIT $5'
            -- An expression that no index has, and no choice left between equals.
            ELSE '0 + ' || rankgres.generation_distance_v1(generation, '$1')
                || ', document_id COLLATE "C", position LIMIT $4'
        END
    )
$function$;
