-- Tells how columns of a relation are read: the SQL expressions of each as text, as jsonb, and as
-- something that can be hashed; with the qualifier before its name. Further the type to cast its text
-- back to, the schema of its operators, whether values that are equal always have the same text, and
-- whether their text is the same under all settings of a session.
--
-- Whoever owns a type may have written its casts, and these would run with the rights of the workers:
-- of types that Postgres does not bring along only the output function is used.
CREATE FUNCTION rankgres.source_columns_v1(
    source_relation oid,
    column_names text [],
    qualifier text DEFAULT ''
) RETURNS TABLE (
    name text,
    as_text text,
    as_jsonb text,
    as_hashable text,
    type_name text,
    operator_schema text,
    is_injective boolean,
    is_settled boolean
)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    WITH RECURSIVE base (place, name, collation_id, storage, type, typmod, is_domain) AS (
        SELECT
            given.place, attribute.attname, attribute.attcollation, attribute.attstorage,
            attribute.atttypid, attribute.atttypmod, false
        FROM unnest(column_names) WITH ORDINALITY AS given (name, place)
        JOIN pg_attribute AS attribute ON
            attribute.attrelid = source_relation
            AND attribute.attname::text = given.name
            AND attribute.attnum > 0
            AND NOT attribute.attisdropped
        UNION ALL
        -- Casts to a domain would run its checks.
        SELECT
            base.place, base.name, base.collation_id, base.storage, domain.typbasetype,
            domain.typtypmod, true
        FROM base
        JOIN pg_type AS domain ON domain.oid = base.type AND domain.typtype = 'd'
    ),
    known AS (
        SELECT
            base.place,
            base.name::text AS name,
            base.is_domain,
            qualifier || quote_ident(base.name) AS reference,
            -- May lie outside the row.
            type.typlen = -1 AND base.storage <> 'p' AS is_movable,
            type.oid AS type,
            element.oid IS NOT NULL AS is_array,
            coalesce(element.oid, type.oid) AS element,
            coalesce(element.typtype, type.typtype) AS element_kind,
            type.typtype AS kind,
            format_type(type.oid, base.typmod) AS type_name,
            -- Below: what initdb made.
            coalesce(element.oid, type.oid) < 16384 AS built_in,
            coalesce(
                (SELECT collisdeterministic FROM pg_collation WHERE oid = base.collation_id),
                true
            ) AS deterministic,
            (
                SELECT namespace.nspname
                FROM pg_opclass AS class
                JOIN pg_amop AS entry ON
                    entry.amopfamily = class.opcfamily
                    AND entry.amopstrategy = 3
                    AND entry.amoplefttype = class.opcintype
                    AND entry.amoprighttype = class.opcintype
                JOIN pg_operator AS equals ON equals.oid = entry.amopopr
                JOIN pg_namespace AS namespace ON namespace.oid = equals.oprnamespace
                WHERE class.opcdefault
                    AND class.opcmethod = (SELECT oid FROM pg_am WHERE amname = 'btree')
                    AND (
                        class.opcintype = type.oid
                        -- Of the same bytes, such as varchar and text.
                        OR EXISTS (
                            SELECT FROM pg_cast
                            WHERE castsource = type.oid
                                AND casttarget = class.opcintype
                                AND castmethod = 'b'
                                AND castcontext = 'i'
                        )
                    )
                ORDER BY class.opcintype = type.oid DESC, class.oid
                LIMIT 1
            ) AS own_operators
        FROM base
        JOIN pg_type AS type ON type.oid = base.type AND type.typtype <> 'd'
        LEFT JOIN pg_type AS element ON element.oid = type.typelem AND type.typcategory = 'A'
    ),
    judged AS (
        SELECT
            *,
            element_kind = 'e'
            OR element = ANY (
                '{int2,int4,int8,oid,uuid,bytea,bool,date,timestamp,timestamptz}'::regtype []
            )
            OR (element = ANY ('{text,varchar,name}'::regtype []) AND deterministic) AS is_injective,
            element_kind = 'e'
            OR element = ANY (
                '{int2,int4,int8,oid,uuid,bool,text,varchar,bpchar,name,numeric,json,jsonb}'::regtype []
            ) AS is_settled
        FROM known
    ),
    expressed AS (
        SELECT
            *,
            CASE
                WHEN type = 'text'::regtype AND NOT is_domain THEN reference
                WHEN built_in THEN reference || '::text'
                ELSE format('CASE num_nulls(%1$s) WHEN 0 THEN format(''%%s'', %1$s) END', reference)
            END AS as_text
        FROM judged
    ),
    hashable AS (
        SELECT
            *,
            CASE WHEN is_injective THEN reference ELSE format('%s COLLATE "C"', as_text) END AS value
        FROM expressed
    )
    SELECT
        name,
        as_text,
        CASE
            WHEN built_in THEN format('to_jsonb(%s)', reference)
            WHEN is_array THEN format('to_jsonb((%s)::text [])', as_text)
            ELSE format('to_jsonb(%s)', as_text)
        END,
        -- What lies outside the row is not fetched where it can be told by where it lies, which Postgres
        -- 16 does not say: an update that leaves it alone leaves it there.
        CASE
            WHEN is_movable AND current_setting('server_version_num')::integer >= 170000 THEN format(
                'pg_column_toast_chunk_id(%1$s), '
                    'CASE WHEN pg_column_toast_chunk_id(%1$s) IS NULL THEN %2$s END',
                reference, value
            )
            ELSE value
        END,
        type_name,
        -- Arrays, enums, composite types and ranges share theirs.
        coalesce(own_operators::text, CASE WHEN is_array OR kind <> 'b' THEN 'pg_catalog' END),
        is_injective,
        is_settled
    FROM hashable
    ORDER BY place
$function$;
