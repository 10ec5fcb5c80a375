-- Finds the columns that tell the rows of a relation apart: those given, else the primary key's, in its
-- order; of a materialised view those of its only unique index. Refuses what can be NULL or repeated;
-- of foreign tables and views it takes the caller's word.
CREATE FUNCTION rankgres.source_key_v1(source_relation oid, given_columns text []) RETURNS text []
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    relation pg_class;
    candidates text;
    found_columns text [];
    nullable text;
    unordered text;
BEGIN
    SELECT * INTO STRICT relation FROM pg_class WHERE oid = source_relation;
    WITH unique_index AS (
        SELECT
            indisprimary,
            ARRAY(
                SELECT attname::text
                FROM unnest(indkey::smallint []) WITH ORDINALITY AS part (attnum, place)
                JOIN pg_attribute ON attrelid = indrelid AND pg_attribute.attnum = part.attnum
                WHERE place <= indnkeyatts
                ORDER BY place
            ) AS names
        FROM pg_index
        WHERE indrelid = source_relation
            AND indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL
    )
    SELECT
        string_agg(format('key => %L', names), ' or ' ORDER BY names),
        CASE
            WHEN bool_or(indisprimary) THEN max(names) FILTER (WHERE indisprimary)
            WHEN relation.relkind = 'm' AND count(*) = 1 THEN max(names)
        END
    INTO candidates, found_columns
    FROM unique_index;
    IF given_columns IS NULL THEN
        IF found_columns IS NULL THEN
            RAISE EXCEPTION '% has no primary key', rankgres.source_name_v1(source_relation)
                USING ERRCODE = 'invalid_parameter_value', COLUMN = 'key',
                    HINT = CASE
                        WHEN candidates IS NOT NULL THEN 'name a unique index''s columns: ' || candidates
                        WHEN relation.relkind IN ('r', 'p')
                            THEN 'give it one, or a unique index whose columns key names'
                        WHEN relation.relkind = 'm' THEN 'give it a unique index'
                        ELSE 'name the columns that tell its rows apart, as key => ''{id}'''
                    END;
        END IF;
        RETURN found_columns;
    END IF;
    PERFORM rankgres.source_require_columns_v1(source_relation, given_columns, 'key');
    IF cardinality(given_columns) = 0 OR array_position(given_columns, NULL) IS NOT NULL
        OR cardinality(given_columns) <> (SELECT count(DISTINCT name) FROM unnest(given_columns) AS name)
    THEN
        RAISE EXCEPTION 'key names no columns, or one of them twice'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'key',
                HINT = coalesce('use ' || candidates, 'name the columns that tell rows apart');
    END IF;
    IF relation.relkind IN ('r', 'p', 'm')
        AND rankgres.source_key_index_v1(source_relation, given_columns) IS NULL
    THEN
        RAISE EXCEPTION 'no unique index of % has exactly the columns %',
            rankgres.source_name_v1(source_relation), array_to_string(given_columns, ', ')
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'key',
                HINT = coalesce('use ' || candidates, 'CREATE UNIQUE INDEX on them first');
    END IF;
    SELECT attname INTO nullable FROM pg_attribute
    WHERE relation.relkind IN ('r', 'p')
        AND attrelid = source_relation
        AND attname::text = ANY (given_columns)
        AND NOT attnotnull
    LIMIT 1;
    IF nullable IS NOT NULL THEN
        RAISE EXCEPTION 'column "%" of the key may be NULL', nullable
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'key',
                HINT = format(
                    'ALTER TABLE %s ALTER COLUMN %I SET NOT NULL',
                    rankgres.source_name_v1(source_relation), nullable
                );
    END IF;
    SELECT name || ', of type ' || type_name INTO unordered
    FROM rankgres.source_columns_v1(source_relation, given_columns)
    WHERE operator_schema IS NULL
    LIMIT 1;
    IF unordered IS NOT NULL THEN
        RAISE EXCEPTION 'values of column % cannot be compared', unordered
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'key',
                HINT = 'use columns whose type has a default B-tree operator class';
    END IF;
    RETURN given_columns;
END
$function$;
