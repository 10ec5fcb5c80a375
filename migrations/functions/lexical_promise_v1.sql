-- The chunks that promise at least a threshold: the weights of the terms that stand in them sum to it.
-- One tsquery a rarest term, to be joined by OR: that term and, of the more common ones after it, as
-- many as it takes. Each is answered by a GIN index in time of its rarest term's postings: of the
-- common ones it reads what it needs to check. As one tsquery it would read all postings of all.
CREATE FUNCTION rankgres.lexical_promise_v1(
    terms tsquery [],
    weights double precision [],
    threshold double precision
) RETURNS tsquery []
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
DECLARE
    -- Sums of the same weights in another order differ by less.
    rounding constant double precision := 1e-9;
    left_over double precision := (SELECT coalesce(sum(weight), 0) FROM unnest(weights) AS weight);
    branches tsquery [] := '{}';
    deeper tsquery [];
    others tsquery;
BEGIN
    FOR place IN 1..cardinality(terms) LOOP
        EXIT WHEN left_over < threshold - rounding;
        left_over := left_over - weights[place];
        IF weights[place] >= threshold - rounding THEN
            branches := branches || terms[place];
            CONTINUE;
        END IF;
        deeper := rankgres.lexical_promise_v1(
            terms[place + 1:], weights[place + 1:], threshold - weights[place]
        );
        CONTINUE WHEN deeper = '{}';
        others := deeper[1];
        FOR branch IN 2..cardinality(deeper) LOOP
            others := others || deeper[branch];
        END LOOP;
        branches := branches || (terms[place] && others);
    END LOOP;
    RETURN branches;
END
$function$;
