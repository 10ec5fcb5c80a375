-- The parameters that a search goes by: those given, else the collection's profile, else the defaults
-- below, which the benchmarks of relevance and speed hold up. Refuses names that are not known, values
-- of another type, and numbers out of their range; what recency, boosts, fusion and match may hold is
-- for the functions to say that read them.
CREATE FUNCTION rankgres.search_profile_v1(profile jsonb, given jsonb) RETURNS jsonb
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    defaults constant jsonb := jsonb_build_object(
        'candidates', 100,
        'fusion', 'theoretical',
        'lexical_weight', 0.5,
        'rrf_k', 60,
        'stage_candidates', 100,
        'posting_budget', 10000,
        'match', 'any',
        'correct', false,
        'heading_weight', 1,
        'autocut', 0,
        'diversity', 0
    );
    types constant jsonb := '{
        "fusion": "string", "match": "string", "language": "string", "correct": "boolean",
        "recency": "object", "boosts": "array",
        "min_lexical_score": "number", "min_vector_score": "number", "min_score": "number",
        "lexical_weight": "number", "heading_weight": "number", "diversity": "number",
        "candidates": "number", "rrf_k": "number", "stage_candidates": "number",
        "posting_budget": "number", "ef_search": "number", "autocut": "number",
        "deadline_ms": "number"
    }';
    -- The least and the most that a number may be; where both are written without a point it is whole.
    ranges constant jsonb := '{
        "lexical_weight": [0.0, 1.0], "heading_weight": [0.0, 1000.0], "diversity": [0.0, 1.0],
        "candidates": [1, 10000], "rrf_k": [1, 1000000], "stage_candidates": [1, 10000],
        "posting_budget": [1, 2000000000], "ef_search": [1, 1000], "autocut": [0, 1000],
        "deadline_ms": [1, 3600000]
    }';
    parameters constant jsonb := defaults || profile || jsonb_strip_nulls(given);
    parameter record;
BEGIN
    FOR parameter IN
        SELECT held.key AS name, held.value, types ->> held.key AS type, ranges -> held.key AS range
        FROM jsonb_each(parameters) AS held
        ORDER BY held.key
    LOOP
        IF parameter.type IS NULL THEN
            RAISE EXCEPTION 'a search has no parameter "%"', parameter.name
                USING ERRCODE = 'invalid_parameter_value', COLUMN = parameter.name,
                    HINT = 'use ' || (
                        SELECT string_agg(known, ', ' ORDER BY known)
                        FROM jsonb_object_keys(types) AS known
                    );
        END IF;
        CONTINUE WHEN jsonb_typeof(parameter.value) = parameter.type
            AND CASE
                WHEN parameter.range IS NULL THEN true
                ELSE parameter.value::numeric
                    BETWEEN (parameter.range -> 0)::numeric AND (parameter.range -> 1)::numeric
                    AND (parameter.range::text ~ '\.' OR parameter.value::numeric % 1 = 0)
            END;
        RAISE EXCEPTION '% is %', parameter.name, parameter.value
            USING ERRCODE = 'invalid_parameter_value', COLUMN = parameter.name,
                HINT = CASE
                    WHEN parameter.range IS NULL THEN format('use JSON of the type %s', parameter.type)
                    ELSE format(
                        'use %s to %s',
                        trim_scale((parameter.range -> 0)::numeric),
                        trim_scale((parameter.range -> 1)::numeric)
                    )
                END;
    END LOOP;
    RETURN parameters;
END
$function$;
