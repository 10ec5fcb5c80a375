-- The text of a filter's jsonpath predicate, '' for an empty filter; calls itself for what is nested.
CREATE FUNCTION rankgres.filter_condition_v1(filter jsonb) RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
DECLARE
    operators constant jsonb := '{"eq": "==", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}';
    hint constant text := 'write {"field": value}, {"field": {"eq|ne|gt|gte|lt|lte": value}}, '
        '{"field": {"in": [values]}}, {"field": {"exists": true}}, or and/or/not of those';
    conditions text [] := '{}';
    path text;
    member record;
    operation record;
    parts text [];
BEGIN
    IF jsonb_typeof(filter) <> 'object' THEN
        RAISE EXCEPTION 'a filter is an object, not %', filter
            USING ERRCODE = 'invalid_parameter_value', HINT = hint;
    END IF;
    FOR member IN SELECT * FROM jsonb_each(filter) LOOP
        IF member.key IN ('and', 'or') THEN
            IF jsonb_typeof(member.value) <> 'array' OR jsonb_array_length(member.value) = 0 THEN
                RAISE EXCEPTION '"%" takes a list of filters, not %', member.key, member.value
                    USING ERRCODE = 'invalid_parameter_value', HINT = hint;
            END IF;
            parts := ARRAY(
                SELECT coalesce(nullif(rankgres.filter_condition_v1(value), ''), '(1 == 1)')
                FROM jsonb_array_elements(member.value)
            );
            conditions := conditions || format(
                '(%s)',
                array_to_string(parts, CASE member.key WHEN 'and' THEN ' && ' ELSE ' || ' END)
            );
            CONTINUE;
        ELSIF member.key = 'not' THEN
            conditions := conditions || format(
                '!(%s)',
                coalesce(nullif(rankgres.filter_condition_v1(member.value), ''), '1 == 1')
            );
            CONTINUE;
        END IF;
        path := '$.' || to_jsonb(member.key)::text;
        IF jsonb_typeof(member.value) = 'array' THEN
            RAISE EXCEPTION 'filter field "%" cannot equal a list', member.key
                USING ERRCODE = 'invalid_parameter_value', HINT = 'use {"in": [values]}';
        ELSIF jsonb_typeof(member.value) <> 'object' THEN
            conditions := conditions || format('(%s == %s)', path, member.value);
            CONTINUE;
        END IF;
        FOR operation IN SELECT * FROM jsonb_each(member.value) LOOP
            IF operation.key = 'in' AND jsonb_typeof(operation.value) = 'array' THEN
                IF operation.value @? '$[*] ? (@.type() == "array" || @.type() == "object")' THEN
                    RAISE EXCEPTION 'filter field "%": "in" takes plain values, not %',
                        member.key, operation.value
                        USING ERRCODE = 'invalid_parameter_value', HINT = hint;
                END IF;
                parts := ARRAY(
                    SELECT format('%s == %s', path, value)
                    FROM jsonb_array_elements(operation.value)
                );
                conditions := conditions || format(
                    '(%s)',
                    coalesce(nullif(array_to_string(parts, ' || '), ''), '1 == 0')
                );
            ELSIF operation.key = 'exists' AND jsonb_typeof(operation.value) = 'boolean' THEN
                conditions := conditions || format(
                    '%s(exists(%s))',
                    CASE WHEN operation.value::boolean THEN '' ELSE '!' END,
                    path
                );
            ELSIF jsonb_typeof(operation.value) IN ('array', 'object') THEN
                RAISE EXCEPTION 'filter field "%": "%" does not take %',
                    member.key, operation.key, operation.value
                    USING ERRCODE = 'invalid_parameter_value', HINT = hint;
            ELSIF operation.key = 'ne' THEN
                conditions := conditions || format('!(%s == %s)', path, operation.value);
            ELSIF operators ? operation.key THEN
                conditions := conditions || format(
                    '(%s %s %s)',
                    path, operators ->> operation.key, operation.value
                );
            ELSE
                RAISE EXCEPTION 'filter field "%": unknown operator "%"', member.key, operation.key
                    USING ERRCODE = 'invalid_parameter_value', HINT = hint;
            END IF;
        END LOOP;
    END LOOP;
    RETURN array_to_string(conditions, ' && ');
END
$function$;
