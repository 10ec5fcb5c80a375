-- The parameter recency with all of its settings, lengths of time and origin in seconds; refuses what is
-- wrong with it. NULL stays NULL.
CREATE FUNCTION rankgres.recency_parameters_v1(recency jsonb, moment timestamptz) RETURNS jsonb
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    origin double precision;
BEGIN
    IF coalesce(recency, 'null') = 'null' THEN
        RETURN NULL;
    END IF;
    PERFORM rankgres.parameter_object_v1(
        'recency',
        recency,
        '{field,scale,offset,decay,shape,weight,origin}',
        '{exp,gauss,linear}'
    );
    origin := CASE
        WHEN coalesce(recency ->> 'origin', 'now') = 'now' THEN extract(EPOCH FROM moment)
        ELSE rankgres.filter_moment_v1(recency -> 'origin')
    END;
    IF origin IS NULL THEN
        RAISE EXCEPTION 'recency has "origin" %', recency -> 'origin'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'recency',
                HINT = 'use "now", an ISO date or timestamp, or seconds since the epoch';
    END IF;
    RETURN jsonb_build_object(
        'field', recency -> 'field',
        'shape', coalesce(recency ->> 'shape', 'exp'),
        'weight', rankgres.parameter_number_v1('recency', recency, 'weight', 0.2, 0, 10),
        'decay', rankgres.parameter_number_v1('recency', recency, 'decay', 0.5, 0.000001, 0.999999),
        'scale', rankgres.parameter_seconds_v1('recency', recency, 'scale', NULL, 0.001),
        'offset', rankgres.parameter_seconds_v1('recency', recency, 'offset', 0, 0),
        'origin', origin
    );
END
$function$;
