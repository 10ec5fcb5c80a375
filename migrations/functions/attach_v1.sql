-- Attaches a relation: its rows become the documents of a new collection, and stay so. Returns the
-- collection's id; nothing is left where it fails. Rows that are there are queued in the background
-- (see backfill_step), those written from now on by triggers in the transaction that writes them;
-- relations without triggers are compared every compare_every.
--
-- caller_path is the search_path that names of the caller are looked up in. Without triggers it is what
-- preflight looks at and rolls back, without a lock on the relation. Everything that the caller
-- wrote is run with the caller's rights, here; the rest is source_register's.
CREATE FUNCTION rankgres.attach_v1(
    collection text,
    relation text,
    key_columns text [],
    title_column text,
    text_columns text [],
    template text,
    text_format text,
    filter_columns text [],
    condition text,
    compare_every interval,
    row_security boolean,
    backfill_rows_per_second double precision,
    embedding_model text,
    chunk_tokens integer,
    overlap_tokens integer,
    storage_type text,
    text_search_config text,
    caller_path text,
    with_triggers boolean DEFAULT true
) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    own_path constant text := current_setting('search_path');
    source_relation oid;
    condition_index oid;
    tried refcursor;
    new_collection bigint;
    mend text;
    lock_limited boolean := false;
BEGIN
    PERFORM set_config('search_path', caller_path, true);
    BEGIN
        source_relation := to_regclass(relation);
    EXCEPTION WHEN syntax_error OR invalid_name OR insufficient_privilege THEN
        RAISE EXCEPTION 'relation % cannot be looked up: %', relation, SQLERRM
            USING ERRCODE = CASE SQLSTATE WHEN '42501' THEN '42501' ELSE '22023' END,
                COLUMN = 'relation',
                HINT = CASE SQLSTATE
                    WHEN '42501' THEN format('GRANT USAGE ON its schema TO %I', current_user)
                    ELSE 'write it as in SQL: schema.table, with double quotes where it needs them' END;
    END;
    IF source_relation IS NULL THEN
        RAISE EXCEPTION 'relation % does not exist', relation
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'relation',
                HINT = 'write it as in SQL: schema.table, with double quotes where it needs them';
    END IF;
    IF condition IS NOT NULL THEN
        BEGIN
            -- A cursor takes one query alone: the text is no more than a condition.
            OPEN tried FOR EXECUTE format(
                E'SELECT FROM %s WHERE (%s\n)', rankgres.source_name_v1(source_relation), condition
            );
            CLOSE tried;
            EXECUTE format(
                'CREATE TEMPORARY TABLE rankgres_condition (LIKE %s)',
                rankgres.source_name_v1(source_relation)
            );
            EXECUTE format(
                E'CREATE INDEX rankgres_condition_index ON pg_temp.rankgres_condition ((1)) WHERE (%s\n)',
                condition
            );
        EXCEPTION
            WHEN query_canceled THEN
                RAISE;
            WHEN OTHERS THEN
                mend := CASE
                    WHEN SQLSTATE = '42P17' THEN 'what belongs must not hang on time, settings or other'
                        ' rows: use immutable functions of the row''s own columns'
                    WHEN SQLSTATE = '42501' THEN format(
                        'grant role %I SELECT on the relation, and TEMPORARY on the database', current_user
                    )
                    ELSE 'write it as after WHERE, columns without the table''s name'
                END;
                RAISE EXCEPTION 'the condition cannot be used: %', SQLERRM
                    USING ERRCODE = 'invalid_parameter_value', COLUMN = 'condition', HINT = mend;
        END;
        condition_index := 'pg_temp.rankgres_condition_index'::regclass;
    END IF;
    PERFORM set_config('search_path', own_path, true);

    new_collection := rankgres.source_register_v1(
        collection, source_relation, key_columns, title_column, text_columns, template, text_format,
        filter_columns, condition_index, compare_every, row_security, backfill_rows_per_second,
        embedding_model, chunk_tokens, overlap_tokens, storage_type, text_search_config
    );
    IF condition_index IS NOT NULL THEN
        DROP TABLE pg_temp.rankgres_condition;
    END IF;
    IF with_triggers
        AND to_regproc(format('rankgres.source_%s_insert', new_collection)) IS NOT NULL
    THEN
        -- Last of all: from here to the end of the transaction others cannot write to the table. Those
        -- who come behind one who waits for its lock wait too: therefore not for long.
        IF current_setting('lock_timeout') = '0' THEN
            PERFORM set_config('lock_timeout', '5s', true);
            lock_limited := true;
        END IF;
        BEGIN
            PERFORM rankgres.source_attach_triggers_v1(new_collection, source_relation);
        EXCEPTION WHEN lock_not_available THEN
            RAISE EXCEPTION 'a lock on % was not to be had', rankgres.source_name_v1(source_relation)
                USING ERRCODE = 'lock_not_available',
                    HINT = 'end the transaction that holds it, or wait longer: SET lock_timeout';
        END;
        IF lock_limited THEN
            PERFORM set_config('lock_timeout', '0', true);
        END IF;
    END IF;
    RETURN new_collection;
END
$function$;

-- The public name. It stays while versions come and go behind it.
CREATE FUNCTION rankgres.attach(
    collection text,
    relation text,
    "key" text [] DEFAULT NULL,
    title text DEFAULT NULL,
    text text [] DEFAULT NULL,
    template text DEFAULT NULL,
    text_format text DEFAULT 'plain',
    filters text [] DEFAULT '{}',
    condition text DEFAULT NULL,
    compare_every interval DEFAULT NULL,
    row_security boolean DEFAULT false,
    backfill_rows_per_second double precision DEFAULT NULL,
    embedding_model text DEFAULT NULL,
    chunk_tokens integer DEFAULT NULL,
    overlap_tokens integer DEFAULT 32,
    storage_type text DEFAULT 'halfvec',
    text_search_config text DEFAULT 'english'
) RETURNS bigint
LANGUAGE sql
AS $function$
    SELECT rankgres.attach_v1(
        collection, relation, "key", title, text, template, text_format, filters, condition,
        compare_every, row_security, backfill_rows_per_second, embedding_model, chunk_tokens,
        overlap_tokens, storage_type, text_search_config, pg_catalog.current_setting('search_path')
    )
$function$;
REVOKE EXECUTE ON FUNCTION rankgres.attach FROM PUBLIC;
