-- Makes the collection of an attached relation, with its generation, trigger functions and backfill, and
-- returns the collection's id. attach calls it, and then puts the triggers on the table with the rights
-- of the caller.
--
-- It runs with our rights: what the real caller may do is checked first, see source_require_rights, and
-- nothing that the caller wrote is ever run: names are looked up, and the condition comes as the
-- predicate of an index on an empty table, which Postgres has parsed, with built-in functions alone.
CREATE FUNCTION rankgres.source_register_v1(
    collection_name text,
    source_relation oid,
    key_columns text [],
    title_column text,
    text_columns text [],
    template text,
    text_format text,
    filter_columns text [],
    condition_index oid,
    compare_every interval,
    row_security boolean,
    backfill_rows_per_second double precision,
    embedding_model text,
    chunk_tokens integer,
    overlap_tokens integer,
    storage_type text,
    text_search_config text
) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
#variable_conflict use_variable
DECLARE
    -- Of text in a language that the embedding model does not know: the last word is BM25's.
    foreign_lexical_weight constant double precision := 0.8;
    relation pg_class;
    model rankgres.embedding_model;
    key_index oid;
    key_order text [];
    condition text;
    condition_columns text [];
    new_collection bigint;
    new_generation bigint;
    by_triggers boolean;
    -- More are estimated.
    countable_rows constant integer := 100000;
    estimate json;
    estimated_rows bigint;
BEGIN
    PERFORM rankgres.source_require_rights_v1(source_relation);
    SELECT * INTO relation FROM pg_class WHERE oid = source_relation;

    IF collection_name IS NULL OR collection_name !~ '^[a-z][a-z0-9_-]{0,62}$' THEN
        RAISE EXCEPTION '"%" cannot name a collection', collection_name
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'collection',
                HINT = 'use a lower-case letter, then up to 62 of a-z, 0-9, _ and -';
    ELSIF EXISTS (SELECT FROM rankgres.collection WHERE name = collection_name) THEN
        RAISE EXCEPTION 'collection "%" exists', collection_name
            USING ERRCODE = 'duplicate_object', COLUMN = 'collection',
                HINT = 'choose another name, or detach that collection first';
    ELSIF text_format IS NULL OR text_format NOT IN ('plain', 'html', 'markdown') THEN
        RAISE EXCEPTION 'text_format "%" is not known', text_format
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'text_format',
                HINT = 'use plain, html or markdown';
    ELSIF compare_every <= interval '0' THEN
        RAISE EXCEPTION 'compare_every is %', compare_every
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'compare_every',
                HINT = 'use a length of time, such as 1 hour';
    ELSIF backfill_rows_per_second <= 0 THEN
        RAISE EXCEPTION 'backfill_rows_per_second is %', backfill_rows_per_second
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'backfill_rows_per_second',
                HINT = 'use more than 0, or NULL for as fast as the workers are';
    END IF;
    SELECT * INTO model FROM rankgres.embedding_model
    WHERE CASE WHEN embedding_model IS NULL THEN is_default ELSE name = embedding_model END;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'embedding model "%" is not known', embedding_model
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'embedding_model',
                HINT = coalesce(
                    'use one of: '
                        || (SELECT string_agg(name, ', ' ORDER BY name) FROM rankgres.embedding_model),
                    'run rankgres migrate, which lists them'
                );
    ELSIF chunk_tokens > model.max_tokens THEN
        RAISE EXCEPTION 'chunk_tokens % is more than % reads', chunk_tokens, model.name
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'chunk_tokens',
                HINT = format('use at most %s; what is longer would be cut', model.max_tokens);
    END IF;

    key_columns := rankgres.source_key_v1(source_relation, key_columns);
    IF template IS NOT NULL AND text_columns IS NOT NULL THEN
        RAISE EXCEPTION 'both text and template are given'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'template',
                HINT = 'name the columns in one of them';
    ELSIF template IS NOT NULL THEN
        text_columns := ARRAY(
            SELECT column_name FROM rankgres.source_template_v1(template)
            WHERE column_name IS NOT NULL
        );
    END IF;
    IF coalesce(cardinality(text_columns), 0) = 0 THEN
        RAISE EXCEPTION 'no column is named that holds the text'
            USING ERRCODE = 'invalid_parameter_value',
                COLUMN = CASE WHEN template IS NULL THEN 'text' ELSE 'template' END,
                HINT = 'name one or more: ' || rankgres.source_column_names_v1(source_relation);
    END IF;
    PERFORM rankgres.source_require_columns_v1(source_relation, ARRAY[title_column], 'title');
    PERFORM rankgres.source_require_columns_v1(
        source_relation, text_columns, CASE WHEN template IS NULL THEN 'text' ELSE 'template' END
    );
    PERFORM rankgres.source_require_columns_v1(source_relation, filter_columns, 'filters');
    IF condition_index IS NOT NULL THEN
        SELECT * INTO condition, condition_columns
        FROM rankgres.source_condition_v1(source_relation, condition_index);
    END IF;

    by_triggers := relation.relkind IN ('r', 'p') AND NOT EXISTS (
        -- Postgres refuses changes of foreign partitions through a table with such triggers.
        SELECT FROM rankgres.source_tables_v1(source_relation) WHERE kind = 'f'
    );
    new_collection := rankgres.collection_create_v2(
        collection_name,
        model.name,
        model.dimension,
        coalesce(chunk_tokens, model.max_tokens),
        overlap_tokens,
        storage_type,
        text_search_config => text_search_config
    );
    IF regexp_replace(text_search_config, '^unaccent\+', '') = ANY (model.foreign_configs) THEN
        UPDATE rankgres.collection
        SET search_profile = jsonb_build_object('lexical_weight', foreign_lexical_weight)
        WHERE id = new_collection;
    END IF;
    INSERT INTO rankgres.source (
        collection_id, relation, key_columns, title_column, text_columns, template, text_format,
        filter_columns, condition, read_columns, sync, compare_every, row_security, attached_by
    ) VALUES (
        new_collection, source_relation, key_columns, title_column, text_columns, template,
        text_format, coalesce(filter_columns, '{}'), condition,
        ARRAY(
            SELECT attname::text FROM pg_attribute
            WHERE attrelid = source_relation AND attnum > 0 AND NOT attisdropped
                AND attname::text = ANY (
                    key_columns || title_column || text_columns || filter_columns || condition_columns
                )
            ORDER BY attnum
        ),
        CASE WHEN by_triggers THEN 'triggers' ELSE 'comparison' END,
        coalesce(
            compare_every,
            CASE
                WHEN by_triggers
                    -- What a subscription brings fires no triggers of statements, and after a crash an
                    -- unlogged table is empty without a word.
                    AND relation.relpersistence = 'p'
                    AND NOT EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = source_relation)
                THEN interval '1 day'
                ELSE interval '5 min'
            END
        ),
        coalesce(row_security, false), rankgres.source_caller_v1()
    );
    SELECT id INTO STRICT new_generation FROM rankgres.generation WHERE collection_id = new_collection;
    PERFORM rankgres.source_store_v1(new_collection);
    -- Fails here rather than in a worker where something cannot be read, as through a view.
    PERFORM FROM rankgres.source_documents_v1(new_collection, '{}');
    IF by_triggers THEN
        PERFORM rankgres.source_triggers_v1(new_collection);
        EXECUTE 'EXPLAIN (FORMAT JSON) SELECT FROM ' || rankgres.source_name_v1(source_relation)
        INTO estimate;
        estimated_rows := (estimate -> 0 -> 'Plan' ->> 'Plan Rows')::bigint;
        -- Of a small table that was never analysed the planner may be off by a factor of ten.
        IF estimated_rows <= countable_rows THEN
            EXECUTE 'SELECT count(*) FROM ' || rankgres.source_name_v1(source_relation)
            INTO estimated_rows;
        END IF;
        INSERT INTO rankgres.backfill (generation_id, estimated_rows, rows_per_second)
        VALUES (new_generation, estimated_rows, backfill_rows_per_second);
    ELSE
        INSERT INTO rankgres.source_change (collection_id, reason) VALUES (new_collection, 'attached');
    END IF;
    IF row_security THEN
        PERFORM rankgres.generation_row_security_v1(new_generation);
    END IF;
    RETURN new_collection;
END
$function$;
