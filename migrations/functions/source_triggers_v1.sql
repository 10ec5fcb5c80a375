-- Writes the trigger functions of an attached table: rankgres.source_N_insert, _update, _delete and
-- _truncate, N being the collection's id. They append the ids of changed rows to
-- rankgres.source_change, a row a thousand, in the transaction of the application, and do nothing else.
--
-- They are written out for the table's columns, so that their plans are cached. They run with our
-- rights and find the system's functions alone. An error in them, as after a column changed its name,
-- leaves a row without ids, and the whole source is compared: the application never sees it. Up to a
-- thousand rows are read in a subtransaction and written outside it, so that it takes no transaction
-- id: many statements in one transaction would else make Postgres slow.
--
-- Old and new rows of an update are matched by key and told apart by a hash of the columns that are
-- read: matching the rows themselves, which spill to disk, takes twice as long.
CREATE FUNCTION rankgres.source_triggers_v1(attached_collection bigint) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    -- %1$s collection, %2$s operation, %3$s settings, %4$s the few changed ids as one row, of their
    -- list and whether that is not all, %5$s all changed ids as rows
    frame constant text := $frame$
    CREATE OR REPLACE FUNCTION rankgres.source_%1$s_%2$s() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp%3$s
    AS $trigger$
    #variable_conflict use_column
    DECLARE
        changed text [];
        is_many boolean;
        failure text;
    BEGIN
        BEGIN
            %4$s INTO changed, is_many;
            IF is_many THEN
                changed := NULL;
                INSERT INTO rankgres.source_change (collection_id, document_ids)
                SELECT %1$s, array_agg(id)
                FROM (
                    SELECT id, (row_number() OVER () - 1) / 1000 AS part FROM (%5$s) AS changed_row
                ) AS numbered
                GROUP BY part;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            failure := SQLERRM;
            changed := NULL;
        END;
        IF failure IS NOT NULL THEN
            INSERT INTO rankgres.source_change (collection_id, reason)
            VALUES (%1$s, format('%2$s of %%s: %%s', TG_RELID::regclass, failure));
        ELSIF changed IS NOT NULL THEN
            INSERT INTO rankgres.source_change (collection_id, document_ids) VALUES (%1$s, changed);
        END IF;
        RETURN NULL;
    END
    $trigger$
    $frame$;
    truncate_frame constant text := $frame$
    CREATE OR REPLACE FUNCTION rankgres.source_%1$s_truncate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $trigger$
    BEGIN
        INSERT INTO rankgres.source_change (collection_id, reason)
        VALUES (%1$s, format('truncate of %%s', TG_RELID::regclass));
        RETURN NULL;
    END
    $trigger$
    $frame$;
    -- %1$s id, %2$s transition table
    few constant text :=
        'SELECT array_agg(id), count(*) > 1000 FROM (SELECT %1$s AS id FROM %2$s LIMIT 1001) AS few';
    -- %1$s key columns, %2$s content, %3$s limit, %4$s match, %5$s old id, %6$s new id, %7$s and %8$s
    -- names that are no columns
    updated constant text := $query$
        SELECT
            CASE WHEN new_row.%7$s THEN %6$s ELSE %5$s END AS id,
            old_row.%8$s IS DISTINCT FROM new_row.%8$s AS differs
        FROM (
            SELECT %1$s, true AS %7$s, %2$s AS %8$s FROM old_rows%3$s
        ) AS old_row
        FULL JOIN (
            SELECT %1$s, true AS %7$s, %2$s AS %8$s FROM new_rows%3$s
        ) AS new_row ON %4$s
    $query$;
    source rankgres.source;
    id text;
    old_id text;
    new_id text;
    key_names text;
    there_name text;
    content_name text;
    matches text;
    content text;
    settings text;
BEGIN
    SELECT * INTO STRICT source FROM rankgres.source WHERE collection_id = attached_collection;
    id := rankgres.source_id_v1(source.relation, source.key_columns, '');
    old_id := rankgres.source_id_v1(source.relation, source.key_columns, 'old_row.');
    new_id := rankgres.source_id_v1(source.relation, source.key_columns, 'new_row.');
    there_name := rankgres.source_free_name_v1('is_there', source.key_columns);
    content_name := rankgres.source_free_name_v1('content', source.key_columns);
    SELECT
        string_agg(quote_ident(name), ', '),
        -- Equal keys with other texts are other documents.
        CASE
            WHEN bool_and(is_injective) THEN string_agg(
                format('old_row.%1$I OPERATOR(%2$I.=) new_row.%1$I', name, operator_schema), ' AND '
            )
            ELSE format('%s = %s', old_id, new_id)
        END
    INTO key_names, matches
    FROM rankgres.source_columns_v1(source.relation, source.key_columns);
    SELECT
        format('hash_record_extended(ROW(%s), 0)', string_agg(as_hashable, ', ')),
        -- Each setting costs every statement a little: only where a text hangs on one.
        CASE
            WHEN NOT bool_and(is_settled OR is_injective AND name <> ALL (source.key_columns)) THEN '
    SET timezone = ''UTC'' SET datestyle = ''ISO, YMD'' SET intervalstyle = ''postgres''
    SET extra_float_digits = 1 SET bytea_output = ''hex'''
            ELSE ''
        END
    INTO content, settings
    FROM rankgres.source_columns_v1(source.relation, source.read_columns);
    EXECUTE format(
        frame, attached_collection, 'insert', settings,
        format(few, id, 'new_rows'), format('SELECT %s AS id FROM new_rows', id)
    );
    EXECUTE format(
        frame, attached_collection, 'delete', settings,
        format(few, id, 'old_rows'), format('SELECT %s AS id FROM old_rows', id)
    );
    EXECUTE format(
        frame, attached_collection, 'update', settings,
        format(
            'SELECT array_agg(id) FILTER (WHERE differs), count(*) > 1000 FROM (%s) AS few',
            format(
                updated, key_names, content, ' LIMIT 1001', matches, old_id, new_id, there_name,
                content_name
            )
        ),
        format(
            'SELECT id FROM (%s) AS matched WHERE differs',
            format(
                updated, key_names, content, '', matches, old_id, new_id, there_name, content_name
            )
        )
    );
    EXECUTE format(truncate_frame, attached_collection);
END
$function$;
