-- Takes the condition of an attached relation from the predicate of an index that attach made for it:
-- parsed by Postgres, therefore one immutable expression without queries. Refuses what is not built in,
-- since it will be run with the rights of the workers, and tells the columns that it reads.
CREATE FUNCTION rankgres.source_condition_v1(
    source_relation oid,
    condition_index oid,
    OUT condition text,
    OUT column_names text []
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    made_on oid;
    foreign_object text;
BEGIN
    SELECT indrelid, pg_get_expr(indpred, indrelid) INTO made_on, condition
    FROM pg_index WHERE indexrelid = condition_index;
    -- Of what initdb made no dependency is kept. Values of enums are the user's, but no code.
    SELECT pg_describe_object(refclassid, refobjid, refobjsubid) INTO foreign_object
    FROM pg_depend
    LEFT JOIN pg_type ON refclassid = 'pg_type'::regclass AND pg_type.oid = refobjid
    WHERE classid = 'pg_class'::regclass
        AND objid = condition_index
        AND NOT (refclassid = 'pg_class'::regclass AND refobjid = made_on)
        AND refclassid <> 'pg_collation'::regclass
        AND pg_type.typtype IS DISTINCT FROM 'e'
        AND NOT EXISTS (
            SELECT FROM pg_type AS element
            WHERE element.oid = pg_type.typelem AND element.typtype = 'e' AND pg_type.typcategory = 'A'
        )
    LIMIT 1;
    column_names := ARRAY(
        SELECT attname::text
        FROM pg_depend
        JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
        WHERE classid = 'pg_class'::regclass AND objid = condition_index
            AND refclassid = 'pg_class'::regclass AND refobjid = made_on AND refobjsubid > 0
    );
    IF foreign_object IS NOT NULL THEN
        RAISE EXCEPTION 'the condition uses %, which is not built in', foreign_object
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'condition',
                HINT = 'use the functions and operators of Postgres alone; or attach a view';
    ELSIF EXISTS (
        SELECT FROM pg_attribute AS tried
        WHERE tried.attrelid = made_on AND tried.attname::text = ANY (column_names) AND NOT EXISTS (
            SELECT FROM pg_attribute AS real
            WHERE real.attrelid = source_relation AND real.attname = tried.attname
                AND NOT real.attisdropped AND real.atttypid = tried.atttypid
        )
    ) THEN
        RAISE EXCEPTION 'the condition was made for another relation'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'condition', HINT = 'call rankgres.attach';
    END IF;
    condition := coalesce(condition, 'true');
END
$function$;
