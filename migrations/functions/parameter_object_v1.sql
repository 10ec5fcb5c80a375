-- Refuses what is no object of a parameter's known settings, or names no field or no known shape.
CREATE FUNCTION rankgres.parameter_object_v1(
    parameter text,
    given jsonb,
    known text [],
    shapes text []
) RETURNS void
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    wrong text;
    mend text := 'known are ' || array_to_string(known, ', ');
BEGIN
    IF jsonb_typeof(given) IS DISTINCT FROM 'object' THEN
        wrong := format('takes an object, not %s', coalesce(given::text, 'NULL'));
        mend := format('write {"field": name}; %s', mend);
    ELSIF EXISTS (SELECT FROM jsonb_object_keys(given) AS name WHERE name <> ALL (known)) THEN
        wrong := format(
            'does not know %s',
            (
                SELECT string_agg(format('"%s"', name), ', ' ORDER BY name)
                FROM jsonb_object_keys(given) AS name
                WHERE name <> ALL (known)
            )
        );
    ELSIF jsonb_typeof(given -> 'field') IS DISTINCT FROM 'string' THEN
        wrong := 'names no field';
        mend := format('write {"field": name}; %s', mend);
    ELSIF coalesce(given ->> 'shape', shapes[1]) <> ALL (shapes) THEN
        wrong := format('has the unknown shape "%s"', given ->> 'shape');
        mend := 'use ' || array_to_string(shapes, ', ');
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '% %', parameter, wrong
            USING ERRCODE = 'invalid_parameter_value', COLUMN = parameter, HINT = mend;
    END IF;
END
$function$;
