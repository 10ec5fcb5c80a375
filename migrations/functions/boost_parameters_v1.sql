-- The parameter boosts with all settings of each that are given or have a default; refuses what is
-- wrong with it. No boosts are an empty list.
CREATE FUNCTION rankgres.boost_parameters_v1(boosts jsonb) RETURNS jsonb
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    boost jsonb;
    parameters jsonb := '[]';
BEGIN
    IF coalesce(boosts, 'null') = 'null' THEN
        RETURN parameters;
    ELSIF jsonb_typeof(boosts) <> 'array' THEN
        RAISE EXCEPTION 'boosts takes a list, not %', boosts
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'boosts',
                HINT = 'write [{"field": name}, …]';
    END IF;
    FOR boost IN SELECT * FROM jsonb_array_elements(boosts) LOOP
        PERFORM rankgres.parameter_object_v1(
            'boosts',
            boost,
            '{field,shape,weight,scale,pivot,exponent}',
            '{log,linear,sigmoid,reciprocal}'
        );
        parameters := parameters || jsonb_build_object(
            'field', boost -> 'field',
            'shape', coalesce(boost ->> 'shape', 'log'),
            'weight', rankgres.parameter_number_v1('boosts', boost, 'weight', 0.1, -10, 10),
            'scale', rankgres.parameter_number_v1('boosts', boost, 'scale', NULL, 1e-12, 1e12),
            'pivot', rankgres.parameter_number_v1('boosts', boost, 'pivot', NULL, 1e-12, 1e12),
            'exponent', rankgres.parameter_number_v1('boosts', boost, 'exponent', 1, 0.01, 100)
        );
    END LOOP;
    RETURN parameters;
END
$function$;
