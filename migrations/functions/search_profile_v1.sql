-- The parameters that a search goes by: those given, else the collection's profile, else the defaults
-- below, which the benchmarks of relevance and speed hold up. Refuses what is not known or out of range.
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
    -- Of numbers: the least and the most they may be.
    ranges constant jsonb := jsonb_build_object(
        'candidates', ARRAY[1, 10000],
        'lexical_weight', ARRAY[0, 1],
        'rrf_k', ARRAY[1, 1000000],
        'stage_candidates', ARRAY[1, 10000],
        'passages', ARRAY[1, 1000],
        'posting_budget', ARRAY[1, 2000000000],
        'ef_search', ARRAY[1, 1000],
        'heading_weight', ARRAY[0, 1000],
        'autocut', ARRAY[0, 1000],
        'diversity', ARRAY[0, 1],
        'deadline_ms', ARRAY[1, 3600000]
    );
    parameters jsonb := defaults || profile || jsonb_strip_nulls(given);
    parameter record;
BEGIN
    FOR parameter IN
        SELECT ranged.key AS name, parameters ->> ranged.key AS value, ranged.value AS range
        FROM jsonb_each(ranges) AS ranged
        WHERE parameters ? ranged.key
            AND NOT coalesce(
                (parameters ->> ranged.key)::double precision
                BETWEEN (ranged.value -> 0)::double precision AND (ranged.value -> 1)::double precision,
                false
            )
        ORDER BY ranged.key
    LOOP
        RAISE EXCEPTION '% is %', parameter.name, parameter.value
            USING ERRCODE = 'invalid_parameter_value', COLUMN = parameter.name,
                HINT = format('use %s to %s', parameter.range -> 0, parameter.range -> 1);
    END LOOP;
    RETURN parameters;
END
$function$;
