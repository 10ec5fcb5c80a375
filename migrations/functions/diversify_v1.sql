-- Candidates in an order that spares the reader repetitions: maximal marginal relevance (Carbonell and
-- Goldstein, "The Use of MMR, Diversity-Based Reranking", 1998). Each place goes to the candidate with
-- the greatest (1 - diversity) * relevance - diversity * similarity, where relevance is its score scaled
-- to 0..1 over the list, and similarity the greatest cosine between its passage and one placed before.
-- diversity 0 leaves the order of the list, 1 looks at similarity alone. Equals keep their order.
--
-- place is where a candidate of the list (its index, from 1) now stands. The first 200 are placed
-- anew, the rest follows them as it was. A passage that is no longer there, or whose embedding is all
-- zeros, is similar to nothing.
CREATE FUNCTION rankgres.diversify_v1(
    searched_generation bigint,
    document_ids text [],
    positions integer [],
    scores double precision [],
    diversity double precision
) RETURNS TABLE (candidate integer, place integer)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    most constant integer := 200;
    total constant integer := coalesce(cardinality(document_ids), 0);
    size constant integer := least(most, total);
    generation rankgres.generation;
    relevances double precision [];
    -- Every pair once: of candidates i < j at row_starts[i] + j.
    similarities double precision [];
    row_starts integer [];
    -- Of each candidate to what has been placed, the greatest.
    nearest double precision [];
    -- Who has no place yet, and how many they are.
    waiting integer [];
    waiting_total integer := size;
    waiting_at integer := 1;
    chosen integer := 1;
    here integer;
    best double precision;
    value double precision;
    similarity double precision;
BEGIN
    IF diversity IS NULL OR diversity NOT BETWEEN 0 AND 1 THEN
        RAISE EXCEPTION 'diversity % is not between 0 and 1', diversity
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'diversity',
                HINT = 'use 0 for none, 1 for nothing else; 0.3 is a beginning';
    ELSIF diversity = 0 OR size < 3 THEN
        RETURN QUERY SELECT number, number FROM generate_series(1, total) AS number;
        RETURN;
    END IF;
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = searched_generation;
    relevances := ARRAY(
        SELECT (1 - diversity) * rankgres.min_max_v1(
            score, min(score) OVER (), max(score) OVER ()
        )
        FROM unnest(scores[:size]) WITH ORDINALITY AS listed (score, number)
        ORDER BY number
    );
    -- Embeddings are made vectors, whose products are faster, and held in an array: read from the table,
    -- each would be fetched again for every pair. Pairs are sorted without them.
    EXECUTE format(
        $statement$
        WITH held AS MATERIALIZED (
            SELECT embedding, number
            FROM (
                SELECT array_agg(l2_normalize(chunk.%3$s::vector) ORDER BY listed.number) AS embeddings
                FROM unnest($1, $2) WITH ORDINALITY AS listed (document_id, position, number)
                LEFT JOIN rankgres.%1$I AS chunk ON
                    chunk.generation_id = %2$L
                    AND chunk.document_id = listed.document_id
                    AND chunk.position = listed.position
            ) AS gathered,
            unnest(embeddings) WITH ORDINALITY AS one (embedding, number)
        ),
        pair AS MATERIALIZED (
            SELECT one.number AS one, other.number AS other, -(one.embedding <#> other.embedding) AS similarity
            FROM held AS one
            JOIN held AS other ON one.number < other.number
        )
        SELECT array_agg(coalesce(similarity, 0) ORDER BY one, other) FROM pair
        $statement$,
        'chunk_' || searched_generation,
        searched_generation,
        CASE generation.storage_type WHEN 'vector' THEN 'embedding_full' ELSE 'embedding' END
    )
    INTO similarities
    USING document_ids[:size], positions[:size];

    -- A loop over arrays, which stay as they are in memory: in SQL, each place would cost a statement.
    row_starts := ARRAY(
        SELECT (number - 1) * size - number * (number - 1) / 2 - number
        FROM generate_series(1, size) AS number
        ORDER BY number
    );
    waiting := ARRAY(SELECT generate_series(1, size));
    nearest := array_fill('-Infinity'::double precision, ARRAY[size]);
    -- The first place is the most relevant one's.
    FOR at IN 2..size LOOP
        IF relevances[at] > relevances[chosen] THEN
            chosen := at;
            waiting_at := at;
        END IF;
    END LOOP;
    FOR number IN 1..size LOOP
        candidate := chosen;
        place := number;
        RETURN NEXT;
        waiting[waiting_at] := waiting[waiting_total];
        waiting_total := waiting_total - 1;
        best := '-Infinity';
        FOR at IN 1..waiting_total LOOP
            here := waiting[at];
            IF here < candidate THEN
                similarity := similarities[row_starts[here] + candidate];
            ELSE
                similarity := similarities[row_starts[candidate] + here];
            END IF;
            IF similarity > nearest[here] THEN
                nearest[here] := similarity;
            ELSE
                similarity := nearest[here];
            END IF;
            value := relevances[here] - diversity * similarity;
            IF value > best OR value = best AND here < chosen THEN
                best := value;
                chosen := here;
                waiting_at := at;
            END IF;
        END LOOP;
    END LOOP;
    RETURN QUERY SELECT number, number FROM generate_series(size + 1, total) AS number;
END
$function$;
