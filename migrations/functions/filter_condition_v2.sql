-- The text of a filter's jsonpath predicate, '' for an empty filter; calls itself for what is nested.
-- What the forms mean is said at filter_to_jsonpath.
--
-- Comparisons stand inside exists(path ? (…)), which is false where the types differ: a bare one would
-- be unknown, and so would be its negation.
CREATE FUNCTION rankgres.filter_condition_v2(filter jsonb) RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
DECLARE
    operators constant jsonb := '{"eq": "==", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}';
    hint constant text := 'write {"field": value}, {"field": {"eq|ne|gt|gte|lt|lte": value}}, '
        '{"field": {"in|contains": [values]}}, {"field": {"exists": true}}, or and/or/not of those';
    conditions text [] := '{}';
    path text;
    member record;
    operation record;
    parts text [];
BEGIN
    IF jsonb_typeof(filter) <> 'object' THEN
        RAISE EXCEPTION 'a filter is an object, not %', filter
            USING ERRCODE = 'invalid_parameter_value', HINT = hint, COLUMN = 'filter';
    END IF;
    FOR member IN SELECT * FROM jsonb_each(filter) LOOP
        IF member.key IN ('and', 'or') THEN
            IF jsonb_typeof(member.value) <> 'array' OR jsonb_array_length(member.value) = 0 THEN
                RAISE EXCEPTION '"%" takes a list of filters, not %', member.key, member.value
                    USING ERRCODE = 'invalid_parameter_value', HINT = hint, COLUMN = 'filter';
            END IF;
            parts := ARRAY(
                SELECT coalesce(nullif(rankgres.filter_condition_v2(value), ''), '(1 == 1)')
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
                coalesce(nullif(rankgres.filter_condition_v2(member.value), ''), '1 == 1')
            );
            CONTINUE;
        END IF;
        path := '$.' || to_jsonb(member.key)::text;
        IF jsonb_typeof(member.value) = 'array' THEN
            RAISE EXCEPTION 'filter field "%" cannot equal a list', member.key
                USING ERRCODE = 'invalid_parameter_value', HINT = 'use {"in": [values]} for any of them, {"contains": [values]} for all',
                    COLUMN = 'filter';
        ELSIF member.value = '{}' THEN
            RAISE EXCEPTION 'filter field "%" has no operator', member.key
                USING ERRCODE = 'invalid_parameter_value', HINT = hint, COLUMN = 'filter';
        ELSIF jsonb_typeof(member.value) <> 'object' THEN
            conditions := conditions || format('exists(%s ? (@ == %s))', path, member.value);
            CONTINUE;
        END IF;
        FOR operation IN SELECT * FROM jsonb_each(member.value) LOOP
            IF operation.key = 'in' THEN
                IF jsonb_typeof(operation.value) <> 'array'
                    OR operation.value @? 'strict $[*] ? (@.type() == "array" || @.type() == "object")' THEN
                    RAISE EXCEPTION 'filter field "%": "in" takes a list of plain values, not %',
                        member.key, operation.value
                        USING ERRCODE = 'invalid_parameter_value', HINT = hint, COLUMN = 'filter';
                END IF;
                parts := ARRAY(
                    SELECT format('@ == %s', value) FROM jsonb_array_elements(operation.value)
                );
                conditions := conditions || format(
                    'exists(%s ? (%s))',
                    path, coalesce(nullif(array_to_string(parts, ' || '), ''), '1 == 0')
                );
            ELSIF operation.key = 'contains' THEN
                IF jsonb_typeof(operation.value) = 'object'
                    OR operation.value @? 'strict $[*] ? (@.type() == "array" || @.type() == "object")' THEN
                    RAISE EXCEPTION 'filter field "%": "contains" takes a plain value or a list of them, not %',
                        member.key, operation.value
                        USING ERRCODE = 'invalid_parameter_value', HINT = hint, COLUMN = 'filter';
                END IF;
                conditions := conditions || ARRAY(
                    SELECT format('exists(%s ? (@ == %s))', path, value)
                    FROM jsonb_array_elements(
                        CASE jsonb_typeof(operation.value)
                            WHEN 'array' THEN operation.value
                            ELSE jsonb_build_array(operation.value)
                        END
                    )
                );
            ELSIF operation.key = 'exists' THEN
                IF jsonb_typeof(operation.value) <> 'boolean' THEN
                    RAISE EXCEPTION 'filter field "%": "exists" takes true or false, not %',
                        member.key, operation.value
                        USING ERRCODE = 'invalid_parameter_value', HINT = hint, COLUMN = 'filter';
                END IF;
                conditions := conditions || format(
                    '%s(exists(%s))',
                    CASE WHEN operation.value::boolean THEN '' ELSE '!' END,
                    path
                );
            ELSIF jsonb_typeof(operation.value) IN ('array', 'object') THEN
                RAISE EXCEPTION 'filter field "%": "%" does not take %',
                    member.key, operation.key, operation.value
                    USING ERRCODE = 'invalid_parameter_value', HINT = hint, COLUMN = 'filter';
            ELSIF operation.key = 'ne' THEN
                conditions := conditions || format(
                    '!(exists(%s ? (@ == %s)))', path, operation.value
                );
            ELSIF operators ? operation.key THEN
                conditions := conditions || format(
                    'exists(%s ? (%s))',
                    path, rankgres.filter_comparison_v1(operators ->> operation.key, operation.value)
                );
            ELSE
                RAISE EXCEPTION 'filter field "%": unknown operator "%"', member.key, operation.key
                    USING ERRCODE = 'invalid_parameter_value', HINT = hint, COLUMN = 'filter';
            END IF;
        END LOOP;
    END LOOP;
    RETURN array_to_string(conditions, ' && ');
END
$function$;
