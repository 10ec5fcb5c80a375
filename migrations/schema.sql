-- What the migrations make, on Postgres 18. Written by: make schema-dump
CREATE SCHEMA rankgres;

CREATE TYPE rankgres.fused_document AS (
	document_id text,
	score double precision,
	lexical_rank bigint,
	lexical_score double precision,
	vector_rank bigint,
	vector_score double precision,
	"position" integer
);

CREATE TYPE rankgres.parsed_query AS (
	lexemes text[],
	frequencies integer[],
	clauses tsquery[],
	condition tsquery
);

CREATE TYPE rankgres.ranked_chunk AS (
	document_id text,
	"position" integer,
	score double precision,
	rank bigint,
	passage bigint
);

CREATE FUNCTION rankgres.attach(collection text, relation text, key text[] DEFAULT NULL::text[], title text DEFAULT NULL::text, text text[] DEFAULT NULL::text[], template text DEFAULT NULL::text, text_format text DEFAULT 'plain'::text, filters text[] DEFAULT '{}'::text[], condition text DEFAULT NULL::text, compare_every interval DEFAULT NULL::interval, row_security boolean DEFAULT false, backfill_rows_per_second double precision DEFAULT NULL::double precision, embedding_model text DEFAULT NULL::text, chunk_tokens integer DEFAULT NULL::integer, overlap_tokens integer DEFAULT 32, storage_type text DEFAULT 'halfvec'::text, text_search_config text DEFAULT 'english'::text) RETURNS bigint
    LANGUAGE sql
    AS $$
    SELECT rankgres.attach_v1(
        collection, relation, "key", title, text, template, text_format, filters, condition,
        compare_every, row_security, backfill_rows_per_second, embedding_model, chunk_tokens,
        overlap_tokens, storage_type, text_search_config, pg_catalog.current_setting('search_path')
    )
$$;

CREATE FUNCTION rankgres.attach_v1(collection text, relation text, key_columns text[], title_column text, text_columns text[], template text, text_format text, filter_columns text[], condition text, compare_every interval, row_security boolean, backfill_rows_per_second double precision, embedding_model text, chunk_tokens integer, overlap_tokens integer, storage_type text, text_search_config text, caller_path text, with_triggers boolean DEFAULT true) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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
$$;

CREATE FUNCTION rankgres.autocut_v1(scores double precision[], falls integer) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    total constant integer := coalesce(cardinality(scores), 0);
    first_score constant double precision := scores[1];
    last_score constant double precision := scores[total];
BEGIN
    IF falls IS NULL OR falls < 0 THEN
        RAISE EXCEPTION 'autocut is %', coalesce(falls::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'autocut',
                HINT = 'use the number of falls in score to stop at, or 0 to cut nothing';
    ELSIF falls = 0 OR total < 3 OR first_score = last_score THEN
        RETURN total;
    END IF;
    RETURN coalesce(
        (
            SELECT place - 1
            FROM (
                SELECT
                    place,
                    above,
                    lag(above) OVER way AS before,
                    lag(above, 2) OVER way AS long_before,
                    lead(above) OVER way AS behind
                FROM (
                    SELECT
                        place,
                        (score / 2 - first_score / 2) / (last_score / 2 - first_score / 2)
                        - (place - 1) / (total - 1)::double precision AS above
                    FROM unnest(scores) WITH ORDINALITY AS curve (score, place)
                ) AS curve
                WINDOW way AS (ORDER BY place)
            ) AS curve
            WHERE above > before + 1e-9
                -- The last has no neighbour behind it: a fall to it shows against the two before.
                AND above > coalesce(behind, long_before) + 1e-9
            ORDER BY place
            OFFSET falls - 1
            LIMIT 1
        ),
        total
    );
END
$$;

CREATE FUNCTION rankgres.backfill_statement_v1(read_collection bigint, is_first boolean, conditional boolean) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    source rankgres.source;
    index_order text [];
    names text;
    texts text;
    after_values text;
    operators text;
    read_names text;
BEGIN
    -- Raises where the relation is not as it was.
    PERFORM rankgres.source_row_v1(read_collection);
    SELECT * INTO STRICT source FROM rankgres.source WHERE collection_id = read_collection;
    SELECT array_agg(attname::text ORDER BY place) INTO index_order
    FROM pg_index
    CROSS JOIN unnest(indkey::smallint []) WITH ORDINALITY AS part (attnum, place)
    JOIN pg_attribute ON attrelid = source.relation AND pg_attribute.attnum = part.attnum
    WHERE indexrelid = rankgres.source_key_index_v1(source.relation, source.key_columns)
        AND place <= indnkeyatts;
    SELECT
        string_agg(format('source_row.%I', name), ', '),
        string_agg(as_text, ', '),
        string_agg(format('$1[%s]::%s', place, type_name), ', '),
        min(operator_schema)
    INTO names, texts, after_values, operators
    FROM rankgres.source_columns_v1(
        source.relation, coalesce(index_order, source.key_columns), 'source_row.'
    ) WITH ORDINALITY AS key (
        name, as_text, as_jsonb, as_hashable, type_name, operator_schema, is_injective, is_settled,
            place
    );
    SELECT string_agg(quote_ident(name), ', ') INTO read_names FROM unnest(source.read_columns) AS name;
    RETURN format(
        $statement$
        WITH batch AS MATERIALIZED (
            SELECT
                %1$s AS document_id, ARRAY[%2$s] AS key_texts,
                %8$s AS belongs,
                row_number() OVER (ORDER BY %3$s) AS place
            FROM (
                SELECT %4$s, %5$s AS %8$s FROM %6$s AS source_row
                %7$s
                ORDER BY %3$s
                LIMIT $2
            ) AS source_row
        )
        SELECT
            ARRAY(SELECT document_id FROM batch WHERE belongs),
            (SELECT count(*) FROM batch),
            (SELECT key_texts FROM batch ORDER BY place DESC LIMIT 1)
        $statement$,
        rankgres.source_id_v1(source.relation, source.key_columns, 'source_row.'),
        texts,
        names,
        read_names,
        CASE WHEN conditional THEN coalesce('(' || source.condition || ')', 'true') ELSE 'true' END,
        rankgres.source_name_v1(source.relation),
        CASE WHEN NOT is_first THEN
            format('WHERE ROW(%s) OPERATOR(%I.>) ROW(%s)', names, operators, after_values) END,
        rankgres.source_free_name_v1('belongs', source.read_columns)
    );
END
$_$;

CREATE FUNCTION rankgres.backfill_step_v1(filled_generation bigint, batch_rows integer, queue_limit integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET row_security TO 'off'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET bytea_output TO 'hex'
    AS $$
DECLARE
    state rankgres.backfill;
    source_collection bigint;
    -- Where the throttle stands: rows are let through from this moment on.
    since timestamptz;
    allowed bigint;
    waiting bigint;
    found_ids text [];
    found_rows bigint;
    last_key text [];
BEGIN
    SELECT * INTO state FROM rankgres.backfill
    WHERE generation_id = filled_generation AND finished_at IS NULL
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT collection.id INTO source_collection
    FROM rankgres.generation
    JOIN rankgres.collection ON collection.id = generation.collection_id
    JOIN rankgres.source ON source.collection_id = collection.id
    WHERE generation.id = filled_generation AND collection.paused_at IS NULL;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT count(*) INTO waiting FROM (
        SELECT FROM rankgres.outbox
        WHERE generation_id = filled_generation AND priority = 1 AND dead_at IS NULL
        LIMIT queue_limit
    ) AS queued;
    allowed := least(batch_rows, queue_limit - waiting);
    IF state.rows_per_second IS NOT NULL THEN
        -- No more than what a second lets through at once, also after a rest.
        since := greatest(
            coalesce(state.stepped_at, state.started_at),
            clock_timestamp() - interval '1 s' * greatest(1, 1 / state.rows_per_second)
        );
        allowed := least(
            allowed,
            floor(state.rows_per_second * extract(EPOCH FROM clock_timestamp() - since) + 1e-6)
        );
    END IF;
    IF allowed < 1 THEN
        RETURN 0;
    END IF;
    BEGIN
        EXECUTE rankgres.backfill_statement_v1(source_collection, state.after_key IS NULL, true)
        INTO found_ids, found_rows, last_key
        USING state.after_key, allowed;
    EXCEPTION WHEN data_exception THEN
        -- The condition fails for one of the rows: that is the worker's to find out, of that row alone.
        EXECUTE rankgres.backfill_statement_v1(source_collection, state.after_key IS NULL, false)
        INTO found_ids, found_rows, last_key
        USING state.after_key, allowed;
    END;
    PERFORM rankgres.outbox_queue_v1(filled_generation, found_ids, 1::smallint);
    UPDATE rankgres.backfill SET
        after_key = coalesce(last_key, after_key),
        queued_rows = queued_rows + found_rows,
        stepped_at = CASE
            WHEN rows_per_second IS NULL THEN clock_timestamp()
            ELSE since + interval '1 s' * (found_rows / rows_per_second)
        END,
        finished_at = CASE WHEN found_rows < allowed THEN clock_timestamp() END
    WHERE generation_id = filled_generation;
    RETURN found_rows;
END
$$;

CREATE FUNCTION rankgres.boost_parameters_v1(boosts jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    boost jsonb;
    parameters jsonb := '[]';
BEGIN
    IF coalesce(boosts, 'null') = 'null' THEN
        RETURN parameters;
    ELSIF jsonb_typeof(boosts) <> 'array' THEN
        RAISE EXCEPTION 'boosts takes a list, not %', boosts
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'boosts',
                HINT = 'write [{"field": name}, …]';
    END IF;
    FOR boost IN SELECT * FROM jsonb_array_elements(boosts) LOOP
        PERFORM rankgres.parameter_object_v1(
            'boosts',
            boost,
            '{field,shape,weight,scale,pivot,exponent}',
            '{log,linear,sigmoid,reciprocal}'
        );
        parameters := parameters || jsonb_build_object(
            'field', boost -> 'field',
            'shape', coalesce(boost ->> 'shape', 'log'),
            'weight', rankgres.parameter_number_v1('boosts', boost, 'weight', 0.1, -10, 10),
            'scale', rankgres.parameter_number_v1('boosts', boost, 'scale', NULL, 1e-12, 1e12),
            'pivot', rankgres.parameter_number_v1('boosts', boost, 'pivot', NULL, 1e-12, 1e12),
            'exponent', rankgres.parameter_number_v1('boosts', boost, 'exponent', 1, 0.01, 100)
        );
    END LOOP;
    RETURN parameters;
END
$$;

CREATE FUNCTION rankgres.boost_scores_v1(scores double precision[], metadata jsonb[], recency jsonb, boosts jsonb, moment timestamp with time zone DEFAULT now()) RETURNS double precision[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    age constant jsonb := rankgres.recency_parameters_v1(recency, moment);
    numbers constant jsonb := rankgres.boost_parameters_v1(boosts);
    boost jsonb;
    worths double precision [];
    span double precision;
BEGIN
    IF coalesce(cardinality(scores), 0) = 0 OR age IS NULL AND numbers = '[]' THEN
        RETURN scores;
    END IF;
    SELECT coalesce(nullif(max(score) - min(score), 0), 1) INTO span FROM unnest(scores) AS score;
    worths := array_fill(0::double precision, ARRAY[cardinality(scores)]);
    IF age IS NOT NULL THEN
        worths := ARRAY(
            SELECT coalesce(
                (age ->> 'weight')::double precision * rankgres.recency_v1(
                    age ->> 'shape',
                    CASE WHEN distance IS NOT NULL
                        THEN greatest(0, distance - (age ->> 'offset')::double precision)
                    END / (age ->> 'scale')::double precision,
                    (age ->> 'decay')::double precision
                ),
                0
            )
            FROM (
                SELECT
                    place,
                    abs(
                        rankgres.filter_moment_v1(document -> (age ->> 'field'))
                        - (age ->> 'origin')::double precision
                    ) AS distance
                FROM unnest(metadata) WITH ORDINALITY AS listed (document, place)
            ) AS aged
            ORDER BY place
        );
    END IF;
    FOR boost IN SELECT * FROM jsonb_array_elements(numbers) LOOP
        worths := ARRAY(
            WITH valued AS (
                SELECT
                    worth, place, rankgres.filter_number_v1(document -> (boost ->> 'field')) AS value
                FROM unnest(worths, metadata) WITH ORDINALITY AS listed (worth, document, place)
            ),
            measured AS (
                SELECT
                    coalesce(
                        (boost ->> 'scale')::double precision, greatest(1e-12, max(value))
                    ) AS scale,
                    coalesce(
                        (boost ->> 'pivot')::double precision,
                        greatest(1e-12, percentile_cont(0.5) WITHIN GROUP (ORDER BY value))
                    ) AS pivot
                FROM valued
            )
            SELECT worth + coalesce(
                (boost ->> 'weight')::double precision * rankgres.boost_v1(
                    boost ->> 'shape', value, scale, pivot,
                    (boost ->> 'exponent')::double precision
                ),
                0
            )
            FROM valued CROSS JOIN measured
            ORDER BY place
        );
    END LOOP;
    RETURN ARRAY(
        SELECT score + span * worth
        FROM unnest(scores, worths) WITH ORDINALITY AS listed (score, worth, place)
        ORDER BY place
    );
END
$$;

CREATE FUNCTION rankgres.boost_v1(shape text, value double precision, scale double precision, pivot double precision, exponent double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE
        WHEN value IS NULL THEN NULL
        WHEN shape = 'reciprocal' THEN pivot / (pivot + greatest(0, value))
        WHEN value <= 0 THEN 0
        WHEN shape = 'linear' THEN least(1, value / scale)
        WHEN shape = 'log' THEN least(1, ln(1 + value) / ln(1 + scale))
        -- The same as above, divided by value ^ exponent, which alone may be too large a number.
        ELSE 1 / (1 + exp(least(200, greatest(-200, exponent * (ln(pivot) - ln(value))))))
    END
$$;

CREATE FUNCTION rankgres.chunk_embeddings_v1(searched_generation bigint, document_ids text[], positions integer[]) RETURNS TABLE(number integer, embedding public.vector)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    generation rankgres.generation;
BEGIN
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = searched_generation;
    RETURN QUERY EXECUTE format(
        $statement$
        SELECT listed.number::integer, chunk.%3$s::vector
        FROM unnest($1, $2) WITH ORDINALITY AS listed (document_id, position, number)
        JOIN rankgres.%1$I AS chunk ON
            chunk.generation_id = %2$L
            AND chunk.document_id = listed.document_id
            AND chunk.position = listed.position
        WHERE chunk.%3$s IS NOT NULL
        ORDER BY listed.number
        $statement$,
        'chunk_' || searched_generation,
        searched_generation,
        CASE generation.storage_type WHEN 'vector' THEN 'embedding_full' ELSE 'embedding' END
    )
    USING document_ids, positions;
END
$_$;

CREATE FUNCTION rankgres.chunk_kept_v1(kept_generation bigint, document_ids text[]) RETURNS TABLE(document_id text, embedded_hash bytea)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
BEGIN
    -- The generation as a literal, so that other partitions are neither planned nor locked.
    RETURN QUERY EXECUTE format(
        $statement$
        SELECT chunk.document_id, sha256(convert_to(
            concat_ws(E'\n', nullif(chunk.heading, ''), nullif(chunk.text, '')), 'UTF8'
        ))
        FROM rankgres.chunk
        WHERE chunk.generation_id = %L
            AND chunk.document_id = ANY ($1)
            AND (chunk.embedding IS NOT NULL OR chunk.embedding_full IS NOT NULL)
        $statement$,
        kept_generation
    ) USING document_ids;
END
$_$;

CREATE FUNCTION rankgres.chunk_replace_v3(replaced_generation bigint, documents text[], content_hashes bytea[], document_ids text[], positions integer[], token_counts integer[], start_offsets integer[], end_offsets integer[], headings text[], texts text[], filters jsonb[], embeddings public.vector[], text_search_configs text[] DEFAULT NULL::text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    generation rankgres.generation;
    partition constant text := 'chunk_' || replaced_generation;
    accents text;
    own_config text;
    some_stand boolean;
    without_embedding text;
    kept constant integer := coalesce(cardinality(array_positions(embeddings, NULL)), 0);
    -- What is given, analysed. Lexemes are made anew for unchanged texts too: analysis may change.
    given_rows constant text := $statement$
        WITH given AS MATERIALIZED (
            SELECT
                chunk.document_id, chunk.position, chunk.token_count, chunk.start_offset,
                chunk.end_offset, chunk.heading, chunk.text, chunk.filters,
                CASE WHEN chunk.heading = '' THEN rankgres.lexemes_v1(%3$s, chunk.text)
                    ELSE setweight(rankgres.lexemes_v1(%3$s, chunk.heading), 'A')
                        || rankgres.lexemes_v1(%3$s, chunk.text)
                END AS lexemes,
                chunk.embedding
            FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS chunk (
                document_id, position, token_count, start_offset, end_offset, heading, text,
                filters, embedding, config
            )
        ),
        $statement$;
    lexical_length constant text := $statement$(
        SELECT coalesce(sum(coalesce(cardinality(word.positions), 1)), 0)
        FROM unnest(%s.lexemes) AS word
    )$statement$;
    -- Where nothing stands there is nothing to compare with.
    all_new constant text := $statement$
        touched AS (
            INSERT INTO rankgres.%1$I (
                generation_id, document_id, position, token_count, start_offset, end_offset,
                heading, text, filters, lexemes, %4$I, lexical_length
            )
            SELECT
                %2$L, document_id, position, token_count, start_offset, end_offset,
                heading, text, filters, lexemes, embedding, %5$s
            FROM given
            RETURNING 1 AS sign, lexemes, lexical_length
        ),
        counted AS (
            SELECT count(DISTINCT document_id) AS documents FROM given
        )
        $statement$;
    difference constant text := $statement$
        stood AS MATERIALIZED (
            SELECT
                document_id, position, token_count, start_offset, end_offset, lexical_length,
                heading, text, filters, lexemes, %4$I AS embedding
            FROM rankgres.%1$I
            WHERE generation_id = %2$L AND document_id = ANY ($1)
        ),
        -- An embedding is that of a text, wherever in the document it stands.
        embedded AS (
            SELECT DISTINCT ON (document_id, embedded_text) document_id, embedded_text, embedding
            FROM (
                SELECT
                    document_id,
                    concat_ws(E'\n', nullif(heading, ''), nullif(text, '')) AS embedded_text,
                    embedding
                FROM stood
                WHERE embedding IS NOT NULL
            ) AS texts
        ),
        wanted AS MATERIALIZED (
            SELECT
                given.document_id, given.position, given.token_count, given.start_offset,
                given.end_offset, given.heading, given.text, given.filters, given.lexemes,
                coalesce(given.embedding::%6$s, embedded.embedding) AS embedding,
                %5$s AS lexical_length
            FROM given
            LEFT JOIN embedded
                ON given.embedding IS NULL
                AND embedded.document_id = given.document_id
                AND embedded.embedded_text
                    = concat_ws(E'\n', nullif(given.heading, ''), nullif(given.text, ''))
        ),
        removed AS (
            DELETE FROM rankgres.%1$I AS chunk
            USING stood
            WHERE chunk.generation_id = %2$L
                AND chunk.document_id = stood.document_id
                AND chunk.position = stood.position
                AND NOT EXISTS (
                    SELECT FROM wanted
                    WHERE wanted.document_id = stood.document_id
                        AND wanted.position = stood.position
                )
        ),
        changed AS (
            -- Equal values are left as they are, so that long ones are not stored anew.
            UPDATE rankgres.%1$I AS chunk SET
                token_count = wanted.token_count,
                start_offset = wanted.start_offset,
                end_offset = wanted.end_offset,
                lexical_length = wanted.lexical_length,
                heading = wanted.heading,
                text = CASE WHEN chunk.text = wanted.text THEN chunk.text ELSE wanted.text END,
                filters = CASE
                    WHEN chunk.filters = wanted.filters THEN chunk.filters ELSE wanted.filters
                END,
                lexemes = CASE
                    WHEN chunk.lexemes = wanted.lexemes THEN chunk.lexemes ELSE wanted.lexemes
                END,
                %4$I = wanted.embedding
            FROM wanted
            WHERE chunk.generation_id = %2$L
                AND chunk.document_id = wanted.document_id
                AND chunk.position = wanted.position
                AND (
                    chunk.token_count, chunk.start_offset, chunk.end_offset, chunk.heading,
                    chunk.text, chunk.filters, chunk.lexemes, chunk.%4$I
                ) IS DISTINCT FROM (
                    wanted.token_count, wanted.start_offset, wanted.end_offset, wanted.heading,
                    wanted.text, wanted.filters, wanted.lexemes, wanted.embedding
                )
        ),
        added AS (
            INSERT INTO rankgres.%1$I (
                generation_id, document_id, position, token_count, start_offset, end_offset,
                heading, text, filters, lexemes, %4$I, lexical_length
            )
            SELECT
                %2$L, document_id, position, token_count, start_offset, end_offset,
                heading, text, filters, lexemes, embedding, lexical_length
            FROM wanted
            WHERE NOT EXISTS (
                SELECT FROM stood
                WHERE stood.document_id = wanted.document_id AND stood.position = wanted.position
            )
        ),
        -- What lexemes went and came; those that stayed in their place did neither.
        touched AS (
            SELECT side.sign, side.lexemes, side.lexical_length
            FROM stood
            FULL JOIN wanted USING (document_id, position)
            CROSS JOIN LATERAL (VALUES
                (-1, stood.lexemes, stood.lexical_length),
                (1, wanted.lexemes, wanted.lexical_length)
            ) AS side (sign, lexemes, lexical_length)
            WHERE stood.lexemes IS DISTINCT FROM wanted.lexemes AND side.lexemes IS NOT NULL
        ),
        counted AS (
            SELECT
                (SELECT count(DISTINCT document_id) FROM wanted)
                    - (SELECT count(DISTINCT document_id) FROM stood) AS documents
        )
        $statement$;
    account constant text := $statement$,
        lexeme_difference AS (
            INSERT INTO rankgres.lexeme_change (generation_id, lexeme, chunk_count)
            SELECT %2$L, lexeme, sum(touched.sign)
            FROM touched CROSS JOIN LATERAL unnest(tsvector_to_array(touched.lexemes)) AS lexeme
            GROUP BY lexeme
            HAVING sum(touched.sign) <> 0
        ),
        total_difference AS (
            INSERT INTO rankgres.chunk_total_change (
                generation_id, chunk_count, document_count, lexical_length
            )
            SELECT %2$L, total.chunks, counted.documents, total.lexical_length
            FROM counted
            CROSS JOIN (
                SELECT
                    coalesce(sum(sign), 0) AS chunks,
                    coalesce(sum(sign * lexical_length), 0) AS lexical_length
                FROM touched
            ) AS total
            WHERE (total.chunks, counted.documents, total.lexical_length) <> (0, 0, 0)
        )
        SELECT min(document_id) FROM %7$I WHERE embedding IS NULL
        $statement$;
BEGIN
    -- Locked, so that a drop waits for this batch instead of taking the table from under it.
    SELECT * INTO generation FROM rankgres.generation WHERE id = replaced_generation
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'generation % does not exist', replaced_generation
            USING ERRCODE = 'undefined_object';
    END IF;
    accents := coalesce(substring(generation.text_search_config FROM '^unaccent\+'), '');
    own_config := regexp_replace(generation.text_search_config, '^(unaccent\+)?auto$', '\1simple');
    PERFORM rankgres.filter_field_note_v1(replaced_generation, filters);
    IF generation.text_search_config IN ('auto', 'unaccent+auto') OR text_search_configs IS NOT NULL
    THEN
        INSERT INTO rankgres.generation_language (generation_id, text_search_config)
        SELECT DISTINCT replaced_generation, spoken.config
        FROM unnest(document_ids, text_search_configs) AS given (document_id, config)
        CROSS JOIN LATERAL coalesce(accents || given.config, own_config) AS spoken (config)
        -- No unique key, which would make one worker wait for another's transaction.
        WHERE NOT EXISTS (
            SELECT FROM rankgres.generation_language AS known
            WHERE known.generation_id = replaced_generation
                AND known.text_search_config = spoken.config
        );
    END IF;

    EXECUTE format(
        'SELECT EXISTS (
            SELECT FROM rankgres.%I WHERE generation_id = %L AND document_id = ANY ($1)
        )',
        partition,
        replaced_generation
    ) INTO some_stand USING documents;
    EXECUTE format(
        given_rows || CASE WHEN some_stand THEN difference ELSE all_new END || account,
        partition,
        replaced_generation,
        -- A constant is looked up once, a column for every chunk.
        CASE WHEN text_search_configs IS NULL THEN quote_literal(own_config)
            ELSE format('coalesce(%L || config, %L)', accents, own_config) END,
        CASE generation.storage_type WHEN 'vector' THEN 'embedding_full' ELSE 'embedding' END,
        format(lexical_length, 'given'),
        CASE generation.storage_type WHEN 'vector' THEN 'vector' ELSE 'halfvec' END,
        CASE WHEN some_stand THEN 'wanted' ELSE 'given' END
    ) INTO without_embedding USING documents, document_ids, positions, token_counts, start_offsets,
        end_offsets, headings, texts, filters, embeddings, text_search_configs;
    IF without_embedding IS NOT NULL THEN
        RAISE EXCEPTION 'no chunk of document "%" has the embedding that was to be kept',
            without_embedding
            USING ERRCODE = 'no_data_found';
    END IF;

    INSERT INTO rankgres.indexed_document AS indexed (
        generation_id, document_id, content_hash, chunk_count
    )
    SELECT replaced_generation, document.id, document.content_hash, coalesce(part.chunks, 0)
    FROM unnest(documents, content_hashes) AS document (id, content_hash)
    LEFT JOIN (
        SELECT chunk.document_id, count(*) AS chunks
        FROM unnest(document_ids) AS chunk (document_id)
        GROUP BY chunk.document_id
    ) AS part ON part.document_id = document.id
    WHERE document.content_hash IS NOT NULL OR part.chunks IS NOT NULL
    ON CONFLICT (generation_id, document_id) DO UPDATE SET
        content_hash = excluded.content_hash,
        chunk_count = excluded.chunk_count,
        indexed_at = clock_timestamp();
    DELETE FROM rankgres.indexed_document
    WHERE generation_id = replaced_generation
        AND document_id IN (
            SELECT document.id
            FROM unnest(documents, content_hashes) AS document (id, content_hash)
            WHERE document.content_hash IS NULL AND document.id <> ALL (document_ids)
        );
    INSERT INTO rankgres.indexing_activity (
        generation_id, documents, chunks_embedded, chunks_reused
    )
    SELECT
        replaced_generation, cardinality(documents), cardinality(document_ids) - kept, kept
    WHERE documents <> '{}';
END
$_$;

CREATE FUNCTION rankgres.chunk_selectivity_v1(sampled_generation bigint, filter jsonpath, condition tsquery, OUT selectivity double precision, OUT sampled bigint) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    sampled_pages constant double precision := 100;
    relation regclass := format('rankgres.%I', 'chunk_' || sampled_generation);
    pages double precision := pg_relation_size(relation)
        / current_setting('block_size')::double precision;
BEGIN
    EXECUTE format(
        $statement$
        SELECT
            greatest(count(*) FILTER (WHERE %2$s), 0.5) / greatest(count(*), 1), count(*)
        FROM rankgres.%1$I TABLESAMPLE SYSTEM (%3$s) REPEATABLE (0)
        $statement$,
        'chunk_' || sampled_generation,
        concat_ws(
            ' AND ',
            CASE WHEN filter IS NOT NULL THEN 'filters @@ $1' END,
            CASE WHEN condition IS NOT NULL THEN 'lexemes @@ $2' END,
            CASE WHEN coalesce(filter::text, condition::text) IS NULL THEN 'true' END
        ),
        least(100, 100 * sampled_pages / greatest(pages, 1))
    ) INTO selectivity, sampled USING filter, condition;
END
$_$;

CREATE FUNCTION rankgres.chunk_suggest_index_v1(generation_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
    -- Cut, because an entry of a B-tree has at most 2704 bytes.
    EXECUTE format(
        'CREATE INDEX IF NOT EXISTS %I ON rankgres.%I
            ((lower(left(split_part(heading, '' > '', 1), 200)) COLLATE "C"))
            WHERE heading <> '''' AND heading NOT LIKE ''…%%''',
        'chunk_' || generation_id || '_title',
        'chunk_' || generation_id
    );
END
$$;

CREATE FUNCTION rankgres.chunk_textsearch_v1() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('rankgres.textsearch', NEW.generation_id));
    NEW.textsearch_words := (
        SELECT coalesce(
            string_agg(
                repeat(
                    rankgres.textsearch_word_v1(lexeme) || ' ', coalesce(cardinality(positions), 1)
                ),
                ''
            ),
            ''
        )
        FROM unnest(NEW.lexemes)
    );
    RETURN NEW;
END
$$;

CREATE FUNCTION rankgres.collection_create_v2(collection_name text, embedding_model text, embedding_dimension integer, chunk_tokens integer, overlap_tokens integer, storage_type text DEFAULT 'halfvec'::text, distance text DEFAULT 'cosine'::text, text_search_config text DEFAULT 'english'::text, bm25_k1 double precision DEFAULT 1.2, bm25_b double precision DEFAULT 0.75, hnsw_m integer DEFAULT 16, hnsw_ef_construction integer DEFAULT 100, lexical_index text DEFAULT 'gin'::text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    new_collection bigint;
    new_generation bigint;
    new_partition text;
    analysed_by constant text := regexp_replace(text_search_config, '^unaccent\+', '');
BEGIN
    BEGIN
        IF analysed_by <> 'auto' THEN
            PERFORM analysed_by::regconfig;
        END IF;
    EXCEPTION WHEN undefined_object OR invalid_schema_name OR syntax_error OR invalid_name THEN
        RAISE EXCEPTION 'text_search_config "%" does not exist', text_search_config
            USING ERRCODE = 'invalid_parameter_value',
                COLUMN = 'text_search_config',
                HINT = 'use one of: auto (each document''s own language), ' || (
                    SELECT string_agg(cfgname::text, ', ' ORDER BY cfgname) FROM pg_ts_config
                ) || '; unaccent+ before it takes accents off';
    END;
    INSERT INTO rankgres.collection (name) VALUES (collection_name) RETURNING id INTO new_collection;
    INSERT INTO rankgres.generation (
        collection_id, state, activated_at, embedding_model, embedding_dimension, storage_type,
        distance, chunk_tokens, overlap_tokens, text_search_config, bm25_k1, bm25_b, hnsw_m,
        hnsw_ef_construction, lexical_index
    ) VALUES (
        new_collection, 'active', now(), embedding_model, embedding_dimension, storage_type,
        distance, chunk_tokens, overlap_tokens, text_search_config, bm25_k1, bm25_b, hnsw_m,
        hnsw_ef_construction, lexical_index
    ) RETURNING id INTO new_generation;
    new_partition := 'chunk_' || new_generation;

    -- Made apart and attached: CREATE … PARTITION OF would lock out every search meanwhile.
    EXECUTE format(
        'CREATE TABLE rankgres.%1$I (
            LIKE rankgres.chunk INCLUDING DEFAULTS INCLUDING STORAGE,
            CONSTRAINT %2$I CHECK (generation_id = %3$s),
            CONSTRAINT %4$I CHECK (vector_dims(%5$I) = %6$s),
            CONSTRAINT %7$I PRIMARY KEY (generation_id, document_id, position)
        )',
        new_partition,
        new_partition || '_generation_check',
        new_generation,
        new_partition || '_dimension_check',
        CASE storage_type WHEN 'vector' THEN 'embedding_full' ELSE 'embedding' END,
        embedding_dimension,
        new_partition || '_pkey'
    );
    EXECUTE format(
        'ALTER TABLE rankgres.chunk ATTACH PARTITION rankgres.%I FOR VALUES IN (%s)',
        new_partition,
        new_generation
    );
    EXECUTE format(
        'CREATE INDEX %I ON rankgres.%I USING gin (lexemes)',
        new_partition || '_lexemes',
        new_partition
    );
    EXECUTE format(
        'CREATE INDEX %I ON rankgres.%I USING gin (filters jsonb_path_ops)',
        new_partition || '_filters',
        new_partition
    );
    PERFORM rankgres.chunk_suggest_index_v1(new_generation);
    IF lexical_index = 'pg_textsearch' THEN
        PERFORM rankgres.generation_textsearch_index_v1(new_generation);
    END IF;
    RETURN new_collection;
END
$_$;

CREATE FUNCTION rankgres.collection_drop_v2(collection_name text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    dropped_collection bigint;
    dropped_generations bigint [];
    dropped_generation bigint;
    operation text;
BEGIN
    SELECT id INTO dropped_collection FROM rankgres.collection
    WHERE name = collection_name
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    dropped_generations := ARRAY(
        SELECT id FROM rankgres.generation WHERE collection_id = dropped_collection
    );
    -- A build of an HNSW index waits for every older transaction, such as this one: end it, or each
    -- waits for the other. Before anything is locked that a build about to finish still needs.
    FOREACH dropped_generation IN ARRAY dropped_generations LOOP
        WHILE NOT pg_try_advisory_xact_lock(
            hashtextextended('rankgres.hnsw_index', dropped_generation)
        ) LOOP
            PERFORM pg_cancel_backend(pid)
            FROM pg_stat_progress_create_index
            WHERE relid = to_regclass(format('rankgres.%I', 'chunk_' || dropped_generation));
            PERFORM pg_sleep(0.02);
        END LOOP;
        -- Verifying reads the chunks for minutes: waited for here, where nobody waits behind us, and not
        -- where DROP TABLE holds every search up.
        WHILE NOT pg_try_advisory_xact_lock(
            hashtextextended('rankgres.generation_verify', dropped_generation)
        ) LOOP
            PERFORM pg_cancel_backend(pid)
            FROM pg_locks
            WHERE locktype = 'advisory'
                AND granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND ((classid::bigint << 32) | objid::bigint)
                    = hashtextextended('rankgres.generation_verify', dropped_generation);
            PERFORM pg_sleep(0.02);
        END LOOP;
    END LOOP;
    -- A step of a backfill and a comparison hold their rows here, and then read the table: waited for
    -- before that is locked.
    PERFORM FROM rankgres.source WHERE collection_id = dropped_collection FOR UPDATE;
    PERFORM FROM rankgres.backfill WHERE generation_id = ANY (dropped_generations) FOR UPDATE;
    -- Takes the triggers along. Their table is locked from here on, and no sooner.
    FOREACH operation IN ARRAY '{insert,update,delete,truncate}'::text [] LOOP
        EXECUTE format(
            'DROP FUNCTION IF EXISTS rankgres.source_%s_%s() CASCADE', dropped_collection, operation
        );
    END LOOP;
    -- Generations first: the documents that the collection takes along are then queued for nobody.
    DELETE FROM rankgres.generation WHERE collection_id = dropped_collection;
    DELETE FROM rankgres.collection WHERE id = dropped_collection;
    FOREACH dropped_generation IN ARRAY dropped_generations LOOP
        -- Waits for a running statistics_fold, whose new rows could not be seen below.
        PERFORM pg_advisory_xact_lock(
            hashtextextended('rankgres.statistics_fold', dropped_generation)
        );
        EXECUTE format('DROP TABLE rankgres.%I', 'chunk_' || dropped_generation);
    END LOOP;
    DELETE FROM rankgres.outbox WHERE generation_id = ANY (dropped_generations);
    DELETE FROM rankgres.lexeme WHERE generation_id = ANY (dropped_generations);
    DELETE FROM rankgres.lexeme_change WHERE generation_id = ANY (dropped_generations);
    DELETE FROM rankgres.chunk_total WHERE generation_id = ANY (dropped_generations);
    DELETE FROM rankgres.chunk_total_change WHERE generation_id = ANY (dropped_generations);
    DELETE FROM rankgres.indexed_document WHERE generation_id = ANY (dropped_generations);
    DELETE FROM rankgres.indexing_activity WHERE generation_id = ANY (dropped_generations);
    DELETE FROM rankgres.source_change WHERE collection_id = dropped_collection;
    RETURN true;
END
$$;

CREATE FUNCTION rankgres.detach(collection text, keep boolean DEFAULT false) RETURNS void
    LANGUAGE sql
    AS $$
    SELECT rankgres.detach_v1(collection, keep)
$$;

CREATE FUNCTION rankgres.detach_v1(detached_collection text, keep boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    detached bigint;
    operation text;
BEGIN
    detached := rankgres.source_authorize_v1(detached_collection);
    -- First, as where a collection is dropped: nobody deadlocks.
    PERFORM FROM rankgres.collection WHERE id = detached FOR UPDATE;
    IF NOT EXISTS (SELECT FROM rankgres.source WHERE collection_id = detached) THEN
        RAISE EXCEPTION 'collection "%" is not attached to anything', detached_collection
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'collection',
                HINT = 'rankgres collection drop drops a managed collection';
    END IF;
    IF NOT keep THEN
        PERFORM rankgres.collection_drop_v2(detached_collection);
        RETURN;
    END IF;
    -- A step of a backfill and a comparison hold their rows here, and then read the table: waited for
    -- before that is locked.
    PERFORM FROM rankgres.source WHERE collection_id = detached FOR UPDATE;
    PERFORM FROM rankgres.backfill
    JOIN rankgres.generation ON generation.id = backfill.generation_id
    WHERE generation.collection_id = detached
    FOR UPDATE OF backfill;
    FOREACH operation IN ARRAY '{insert,update,delete,truncate}'::text [] LOOP
        -- Takes the triggers along. Its lock is held to the end of the transaction.
        EXECUTE format('DROP FUNCTION IF EXISTS rankgres.source_%s_%s() CASCADE', detached, operation);
    END LOOP;
    UPDATE rankgres.collection SET detached_at = now() WHERE id = detached;
    DELETE FROM rankgres.source WHERE collection_id = detached;
    DELETE FROM rankgres.source_change WHERE collection_id = detached;
    DELETE FROM rankgres.backfill USING rankgres.generation
    WHERE generation.id = backfill.generation_id AND generation.collection_id = detached;
    DELETE FROM rankgres.outbox USING rankgres.generation
    WHERE generation.id = outbox.generation_id AND generation.collection_id = detached;
END
$$;

CREATE FUNCTION rankgres.diversify_v1(searched_generation bigint, document_ids text[], positions integer[], scores double precision[], diversity double precision) RETURNS TABLE(candidate integer, place integer)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    most constant integer := 200;
    total constant integer := coalesce(cardinality(document_ids), 0);
    size constant integer := least(most, total);
    generation rankgres.generation;
    relevances double precision [];
    -- Every pair once: of candidates i < j at row_starts[i] + j.
    similarities double precision [];
    row_starts integer [];
    -- Of each candidate to what has been placed, the greatest.
    nearest double precision [];
    -- Who has no place yet, and how many they are.
    waiting integer [];
    waiting_total integer := size;
    waiting_at integer := 1;
    chosen integer := 1;
    here integer;
    best double precision;
    value double precision;
    similarity double precision;
BEGIN
    IF diversity IS NULL OR diversity NOT BETWEEN 0 AND 1 THEN
        RAISE EXCEPTION 'diversity % is not between 0 and 1', diversity
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'diversity',
                HINT = 'use 0 for none, 1 for nothing else; 0.3 is a beginning';
    ELSIF diversity = 0 OR size < 3 THEN
        RETURN QUERY SELECT number, number FROM generate_series(1, total) AS number;
        RETURN;
    END IF;
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = searched_generation;
    relevances := ARRAY(
        SELECT (1 - diversity) * rankgres.min_max_v1(
            score, min(score) OVER (), max(score) OVER ()
        )
        FROM unnest(scores[:size]) WITH ORDINALITY AS listed (score, number)
        ORDER BY number
    );
    -- Embeddings are made vectors, whose products are faster, and held in an array: read from the table,
    -- each would be fetched again for every pair. Pairs are sorted without them.
    EXECUTE format(
        $statement$
        WITH held AS MATERIALIZED (
            SELECT embedding, number
            FROM (
                SELECT array_agg(l2_normalize(chunk.%3$s::vector) ORDER BY listed.number) AS embeddings
                FROM unnest($1, $2) WITH ORDINALITY AS listed (document_id, position, number)
                LEFT JOIN rankgres.%1$I AS chunk ON
                    chunk.generation_id = %2$L
                    AND chunk.document_id = listed.document_id
                    AND chunk.position = listed.position
            ) AS gathered,
            unnest(embeddings) WITH ORDINALITY AS one (embedding, number)
        ),
        pair AS MATERIALIZED (
            SELECT one.number AS one, other.number AS other, -(one.embedding <#> other.embedding) AS similarity
            FROM held AS one
            JOIN held AS other ON one.number < other.number
        )
        SELECT array_agg(coalesce(similarity, 0) ORDER BY one, other) FROM pair
        $statement$,
        'chunk_' || searched_generation,
        searched_generation,
        CASE generation.storage_type WHEN 'vector' THEN 'embedding_full' ELSE 'embedding' END
    )
    INTO similarities
    USING document_ids[:size], positions[:size];

    -- A loop over arrays, which stay as they are in memory: in SQL, each place would cost a statement.
    row_starts := ARRAY(
        SELECT (number - 1) * size - number * (number - 1) / 2 - number
        FROM generate_series(1, size) AS number
        ORDER BY number
    );
    waiting := ARRAY(SELECT generate_series(1, size));
    nearest := array_fill('-Infinity'::double precision, ARRAY[size]);
    -- The first place is the most relevant one's.
    FOR at IN 2..size LOOP
        IF relevances[at] > relevances[chosen] THEN
            chosen := at;
            waiting_at := at;
        END IF;
    END LOOP;
    FOR number IN 1..size LOOP
        candidate := chosen;
        place := number;
        RETURN NEXT;
        waiting[waiting_at] := waiting[waiting_total];
        waiting_total := waiting_total - 1;
        best := '-Infinity';
        FOR at IN 1..waiting_total LOOP
            here := waiting[at];
            IF here < candidate THEN
                similarity := similarities[row_starts[here] + candidate];
            ELSE
                similarity := similarities[row_starts[candidate] + here];
            END IF;
            IF similarity > nearest[here] THEN
                nearest[here] := similarity;
            ELSE
                similarity := nearest[here];
            END IF;
            value := relevances[here] - diversity * similarity;
            IF value > best OR value = best AND here < chosen THEN
                best := value;
                chosen := here;
                waiting_at := at;
            END IF;
        END LOOP;
    END LOOP;
    RETURN QUERY SELECT number, number FROM generate_series(size + 1, total) AS number;
END
$_$;

CREATE FUNCTION rankgres.document_to_outbox_v1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    changed text := CASE tg_op
        WHEN 'INSERT' THEN 'SELECT collection_id, id FROM new_rows'
        WHEN 'DELETE' THEN 'SELECT collection_id, id FROM old_rows'
        -- Both sides of a changed key; nothing where only updated_at differs.
        WHEN 'UPDATE' THEN
            'SELECT collection_id, id FROM (
                (SELECT collection_id, id, title, text, metadata FROM new_rows
                    EXCEPT SELECT collection_id, id, title, text, metadata FROM old_rows)
                UNION ALL
                (SELECT collection_id, id, title, text, metadata FROM old_rows
                    EXCEPT SELECT collection_id, id, title, text, metadata FROM new_rows)
            ) AS difference'
        WHEN 'TRUNCATE' THEN
            'SELECT collection_id, document_id AS id
            FROM rankgres.chunk JOIN rankgres.generation ON generation.id = chunk.generation_id
            UNION ALL
            SELECT collection_id, document_id
            FROM rankgres.outbox JOIN rankgres.generation ON generation.id = outbox.generation_id'
    END;
    generation_id bigint;
BEGIN
    FOR generation_id IN EXECUTE format(
        'WITH queued AS (
            INSERT INTO rankgres.outbox (generation_id, document_id)
            SELECT DISTINCT generation.id, changed.id
            FROM (%s) AS changed
            JOIN rankgres.generation
                ON generation.collection_id = changed.collection_id
                AND generation.state IN (''building'', ''active'')
            ON CONFLICT (generation_id, document_id) DO UPDATE SET
                version = nextval(''rankgres.outbox_version''),
                enqueued_at = clock_timestamp(),
                due_at = CASE WHEN outbox.lease IS NULL THEN clock_timestamp() ELSE outbox.due_at END,
                attempts = 0,
                last_error = NULL,
                dead_at = NULL
            RETURNING outbox.generation_id
        )
        SELECT DISTINCT queued.generation_id FROM queued',
        changed
    )
    LOOP
        PERFORM pg_notify('rankgres_outbox', generation_id::text);
    END LOOP;
    RETURN NULL;
END
$$;

CREATE FUNCTION rankgres.edit_distance_v1(a text, b text, most integer) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    source text [] := string_to_array(a, NULL);
    target text [] := string_to_array(b, NULL);
    source_length integer := length(a);
    target_length integer := length(b);
    skipped integer := 0;
    -- Three rows of the table, one after the other: of this letter and of the two before.
    cells integer [];
    width integer;
    here integer;
    above integer;
    cell integer;
    least_of_row integer;
BEGIN
    IF most < 0 OR abs(source_length - target_length) > most THEN
        RETURN most + 1;
    END IF;
    WHILE source_length > 0 AND target_length > 0
        AND source[source_length] = target[target_length]
    LOOP
        source_length := source_length - 1;
        target_length := target_length - 1;
    END LOOP;
    WHILE skipped < source_length AND skipped < target_length
        AND source[skipped + 1] = target[skipped + 1]
    LOOP
        skipped := skipped + 1;
    END LOOP;
    source_length := source_length - skipped;
    target_length := target_length - skipped;
    IF source_length = 0 OR target_length = 0 THEN
        RETURN least(source_length + target_length, most + 1);
    END IF;

    width := target_length + 2;
    cells := array_fill(most + 1, ARRAY[3 * width]);
    FOR place IN 0..least(target_length, most) LOOP
        cells[place + 1] := place;
    END LOOP;
    FOR row_number IN 1..source_length LOOP
        here := (row_number % 3) * width + 1;
        above := ((row_number + 2) % 3) * width + 1;
        least_of_row := most + 1;
        -- On both sides of the band lies what was written three rows ago.
        cells[here + greatest(row_number - most - 1, 0)] := least(row_number, most + 1);
        IF row_number <= most THEN
            least_of_row := row_number;
        END IF;
        FOR place IN greatest(1, row_number - most)..least(target_length, row_number + most) LOOP
            cell := least(
                cells[above + place] + 1,
                cells[here + place - 1] + 1,
                cells[above + place - 1]
                    + (source[skipped + row_number] <> target[skipped + place])::integer
            );
            IF row_number > 1 AND place > 1
                AND source[skipped + row_number] = target[skipped + place - 1]
                AND source[skipped + row_number - 1] = target[skipped + place]
            THEN
                cell := least(cell, cells[((row_number + 1) % 3) * width + place - 1] + 1);
            END IF;
            cells[here + place] := least(cell, most + 1);
            least_of_row := least(least_of_row, cell);
        END LOOP;
        IF row_number + most + 1 <= target_length THEN
            cells[here + row_number + most + 1] := most + 1;
        END IF;
        -- A swap comes from the row before, which is one lower at most, and is one dearer.
        IF least_of_row > most THEN
            RETURN most + 1;
        END IF;
    END LOOP;
    RETURN cells[(source_length % 3) * width + 1 + target_length];
END
$$;

CREATE FUNCTION rankgres.edit_variants_v1(word text, letters text[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT array_agg(DISTINCT variant.text)
    FROM (
        SELECT left(word, place - 1) || substr(word, place + 1)
        FROM generate_series(1, length(word)) AS place
        UNION ALL
        SELECT left(word, place - 1)
            || reverse(substr(word, place, 2)) || substr(word, place + 2)
        FROM generate_series(1, length(word) - 1) AS place
        UNION ALL
        SELECT left(word, place - 1) || letter || substr(word, place + 1)
        FROM generate_series(1, length(word)) AS place, unnest(letters) AS letter
        UNION ALL
        SELECT left(word, place) || letter || substr(word, place + 1)
        FROM generate_series(0, length(word)) AS place, unnest(letters) AS letter
    ) AS variant (text)
    WHERE variant.text <> word
$$;

CREATE FUNCTION rankgres.facet_counts(collection text, fields text[], filter jsonb DEFAULT NULL::jsonb, query text DEFAULT NULL::text, values_per_field integer DEFAULT 10) RETURNS TABLE(field text, value jsonb, documents bigint, exact boolean)
    LANGUAGE sql
    AS $$
    SELECT * FROM rankgres.facet_counts_v1(collection, fields, filter, query, values_per_field)
$$;

CREATE FUNCTION rankgres.facet_counts_v1(collection text, fields text[], filter jsonb, query text, values_per_field integer) RETURNS TABLE(field text, value jsonb, documents bigint, exact boolean)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
#variable_conflict use_column
DECLARE
    counted_at_most constant bigint := 50000;
    sampled_chunks constant double precision := 20000;
    counted_generation bigint;
    path jsonpath;
    parsed rankgres.parsed_query;
    condition tsquery;
    matching text;
    chunk_total double precision;
    counts_all boolean;
    matched text;
BEGIN
    IF values_per_field IS NULL OR values_per_field < 1 THEN
        RAISE EXCEPTION 'values_per_field is %', coalesce(values_per_field::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'values_per_field',
                HINT = 'use 1 or more';
    ELSIF fields IS NULL OR array_position(fields, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'fields are %', coalesce(fields::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'fields',
                HINT = 'name the fields to count, as in ARRAY[''lang'', ''year'']';
    END IF;
    SELECT found.id INTO counted_generation
    FROM rankgres.generation AS found
    JOIN rankgres.collection AS owner ON owner.id = found.collection_id
    WHERE owner.name = facet_counts_v1.collection AND found.state = 'active';
    BEGIN
        -- Held to the transaction's end, so that the table is not dropped meanwhile. No id is 0.
        EXECUTE format(
            'LOCK TABLE rankgres.%I IN ACCESS SHARE MODE', 'chunk_' || coalesce(counted_generation, 0)
        );
    EXCEPTION WHEN undefined_table THEN
        RAISE EXCEPTION 'collection "%" does not exist', collection
            USING ERRCODE = 'undefined_object', COLUMN = 'collection',
                HINT = 'SELECT name FROM rankgres.collection';
    END;
    PERFORM rankgres.filter_field_check_v1(counted_generation, fields, 'fields');
    path := rankgres.filter_to_jsonpath_v2(counted_generation, filter);
    IF query <> '' THEN
        parsed := rankgres.query_parse_v1(counted_generation, query);
        SELECT string_agg('(' || clause::text || ')', ' | ')::tsquery INTO condition
        FROM unnest(parsed.clauses) AS clause;
        condition := coalesce(condition && parsed.condition, condition, parsed.condition);
        IF condition IS NULL THEN
            -- Nothing in it can match, as in the lexical stage.
            RETURN;
        END IF;
    END IF;
    matching := concat_ws(
        ' AND ',
        'true',
        CASE WHEN path IS NOT NULL THEN 'filters @@ $1' END,
        CASE WHEN condition IS NOT NULL THEN 'lexemes @@ $2' END
    );

    SELECT coalesce(sum(total.chunk_count), 0) INTO chunk_total
    FROM (
        SELECT chunk_count FROM rankgres.chunk_total WHERE generation_id = counted_generation
        UNION ALL
        SELECT chunk_count FROM rankgres.chunk_total_change WHERE generation_id = counted_generation
    ) AS total;
    counts_all := chunk_total <= counted_at_most;
    IF NOT counts_all AND (path IS NOT NULL OR condition IS NOT NULL) THEN
        SELECT chunk_total * selectivity <= counted_at_most INTO counts_all
        FROM rankgres.chunk_selectivity_v1(counted_generation, path, condition);
    END IF;
    -- $1 filter, $2 condition, $3 fields, $4 values per field, $5 chunks in all
    matched := CASE
        WHEN counts_all THEN format(
            'SELECT DISTINCT ON (document_id) filters, 1.0::double precision AS weight
            FROM rankgres.%I WHERE %s',
            'chunk_' || counted_generation,
            matching
        )
        ELSE format(
            $statement$
            SELECT
                sample.filters,
                $5 / sample.sampled / (
                    SELECT count(*) FROM rankgres.%1$I
                    WHERE generation_id = %2$s AND document_id = sample.document_id AND %3$s
                ) AS weight
            FROM (
                SELECT document_id, filters, %3$s AS matches, count(*) OVER () AS sampled
                FROM rankgres.%1$I TABLESAMPLE SYSTEM (%4$s) REPEATABLE (0)
            ) AS sample
            WHERE sample.matches
            $statement$,
            'chunk_' || counted_generation,
            counted_generation,
            matching,
            least(100, 100 * sampled_chunks / chunk_total)
        )
    END;
    RETURN QUERY EXECUTE format(
        $statement$
        WITH matched AS MATERIALIZED (%1$s),
        counted AS (
            SELECT
                field.name,
                field.place,
                facet.value,
                greatest(1, round(sum(matched.weight)))::bigint AS documents,
                row_number() OVER (
                    PARTITION BY field.place ORDER BY sum(matched.weight) DESC, facet.value
                ) AS value_rank
            FROM matched
            CROSS JOIN unnest($3) WITH ORDINALITY AS field (name, place)
            CROSS JOIN LATERAL (
                SELECT DISTINCT element.value
                FROM jsonb_array_elements(
                    CASE jsonb_typeof(matched.filters -> field.name)
                        WHEN 'array' THEN matched.filters -> field.name
                        ELSE jsonb_build_array(matched.filters -> field.name)
                    END
                ) AS element
            ) AS facet
            WHERE matched.filters ? field.name
            GROUP BY field.name, field.place, facet.value
        )
        SELECT name, value, documents, %2$L::boolean
        FROM counted
        WHERE value_rank <= $4
        ORDER BY place, value_rank
        $statement$,
        matched,
        counts_all
    ) USING path, condition, fields, values_per_field, chunk_total;
END
$_$;

CREATE FUNCTION rankgres.filter_comparison_v1(operator text, operand jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    moment timestamp := CASE WHEN operator <> '==' AND jsonb_typeof(operand) = 'string'
        THEN rankgres.filter_instant_v1(operand #>> '{}') END;
    -- Offsets are below 16 hours: before the one and from the other on, the local date decides. A
    -- colon comes after every digit, so that the year 10000 does not begin before the year 2000.
    decided_below text := CASE WHEN moment < '0001-01-03' THEN ''
        ELSE to_char(moment - interval '1 day', 'YYYY-MM-DD') END;
    decided_from text := CASE WHEN moment >= '9999-12-30' THEN ':'
        ELSE to_char(moment + interval '2 days', 'YYYY-MM-DD') END;
    read text;
BEGIN
    IF moment IS NULL THEN
        RETURN format('@ %s %s', operator, operand);
    END IF;
    -- Never compared: what has an offset with what has none, which would be an error. A form that a
    -- value does not have makes its comparison unknown, and the next is tried.
    read := format(
        $condition$
        @ like_regex ":.*[+-]" && @.datetime() %1$s "%2$s+00:00".datetime()
        || @ like_regex "Z$" && (
            @.datetime("YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"") %1$s "%2$s".datetime()
            || @.datetime("YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"") %1$s "%2$s".datetime()
            || @.datetime("YYYY-MM-DD\"T\"HH24:MI\"Z\"") %1$s "%2$s".datetime()
        )
        || !(@ like_regex ":.*[+-]" || @ like_regex "Z$") && (
            @.datetime() %1$s "%2$s".datetime()
            || @.datetime("YYYY-MM-DD\"T\"HH24:MI") %1$s "%2$s".datetime()
        )
        $condition$,
        operator,
        to_char(moment, 'YYYY-MM-DD"T"HH24:MI:SS.US')
    );
    RETURN CASE
        WHEN operator IN ('>', '>=') THEN
            format('@ >= "%s" || (@ >= "%s" && (%s))', decided_from, decided_below, read)
        ELSE format('@ < "%s" || (@ < "%s" && (%s))', decided_below, decided_from, read)
    END;
END
$_$;

CREATE FUNCTION rankgres.filter_condition_v2(filter jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
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
$_$;

CREATE FUNCTION rankgres.filter_field_check_v1(checked_generation bigint, fields text[], parameter text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    listed_at_most constant integer := 20;
    unknown text;
    known text [];
BEGIN
    SELECT name INTO unknown
    FROM unnest(fields) WITH ORDINALITY AS field (name, place)
    -- Longer names are not noted.
    WHERE octet_length(name) <= 1024 AND NOT EXISTS (
        SELECT FROM rankgres.filter_field
        WHERE generation_id = checked_generation AND filter_field.name = field.name
    )
    ORDER BY place
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- Alike: Dice's coefficient of the pairs of neighbouring characters, ends included.
    SELECT array_agg(field.name ORDER BY field.alike DESC, field.name COLLATE "C") INTO known
    FROM (
        SELECT
            name,
            2.0 * (
                SELECT count(*) FROM (
                    SELECT substr('^' || lower(unknown) || '$', place, 2)
                    FROM generate_series(1, length(unknown) + 1) AS place
                    INTERSECT
                    SELECT substr('^' || lower(name) || '$', place, 2)
                    FROM generate_series(1, length(name) + 1) AS place
                ) AS shared
            ) / (length(unknown) + length(name) + 2) AS alike
        FROM (
            SELECT DISTINCT name FROM rankgres.filter_field
            WHERE generation_id = checked_generation
        ) AS noted
    ) AS field;
    IF known IS NULL THEN
        RETURN;
    END IF;
    RAISE EXCEPTION 'no document has a field "%"', unknown
        USING ERRCODE = 'invalid_parameter_value',
            COLUMN = parameter,
            HINT = 'known fields: '
                || array_to_string(known[:listed_at_most], ', ')
                || CASE WHEN cardinality(known) > listed_at_most
                    THEN format(' and %s more', cardinality(known) - listed_at_most) ELSE '' END;
END
$_$;

CREATE FUNCTION rankgres.filter_field_note_v1(noted_generation bigint, filters jsonb[]) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    INSERT INTO rankgres.filter_field (generation_id, name)
    SELECT DISTINCT noted_generation, field.name
    FROM unnest(filters) AS noted (columns)
    CROSS JOIN LATERAL jsonb_object_keys(noted.columns) AS field (name)
    -- Longer names do not fit into an index: filter_field_check lets them through.
    WHERE octet_length(field.name) <= 1024 AND NOT EXISTS (
        SELECT FROM rankgres.filter_field AS known
        WHERE known.generation_id = noted_generation AND known.name = field.name
    )
$$;

CREATE FUNCTION rankgres.filter_fields_v1(filter jsonb) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    WITH RECURSIVE part AS (
        SELECT filter AS filter_part
        UNION ALL
        SELECT nested.value
        FROM part
        CROSS JOIN LATERAL jsonb_each(part.filter_part) AS member
        CROSS JOIN LATERAL jsonb_array_elements(
            CASE WHEN member.key = 'not' THEN jsonb_build_array(member.value) ELSE member.value END
        ) AS nested
        WHERE member.key IN ('and', 'or', 'not')
    )
    SELECT DISTINCT name
    FROM part CROSS JOIN LATERAL jsonb_object_keys(part.filter_part) AS name
    WHERE name NOT IN ('and', 'or', 'not')
$$;

CREATE FUNCTION rankgres.filter_instant_v1(operand text) RETURNS timestamp without time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
    -- The casts are immutable here: the form is checked, and the offset stands in the text.
    SELECT CASE WHEN pg_input_is_valid(complete, 'timestamptz')
        THEN complete::timestamptz AT TIME ZONE 'UTC' END
    FROM (
        SELECT CASE
            WHEN operand ~ '^\d{4}-\d\d-\d\d$' THEN operand || 'T00:00:00Z'
            WHEN operand ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?$' THEN operand || 'Z'
            WHEN operand ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)? ?(Z|[+-]\d\d(:?\d\d)?)$'
                THEN operand
        END AS complete
    ) AS iso
$_$;

CREATE FUNCTION rankgres.filter_moment_v1(content jsonb) RETURNS double precision
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    written text;
BEGIN
    IF jsonb_typeof(content) = 'number' THEN
        RETURN rankgres.filter_number_v1(content);
    ELSIF jsonb_typeof(content) <> 'string' THEN
        RETURN NULL;
    END IF;
    -- Postgres would take much more for a moment: 'tomorrow', 'infinity', or 010203.
    written := substring(content #>> '{}' FROM
        '^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:[.]\d+)?)?(?:[Zz]|[+-]\d\d(?::?\d\d)?)?)?$');
    IF length(written) = 10 THEN
        written := written || ' 00:00Z';
    ELSIF written !~ '([Zz]|[+-]\d\d(:?\d\d)?)$' THEN
        written := written || 'Z';
    END IF;
    IF pg_input_is_valid(written, 'timestamptz') THEN
        RETURN extract(EPOCH FROM written::timestamptz);
    END IF;
    RETURN NULL;
END
$_$;

CREATE FUNCTION rankgres.filter_number_v1(content jsonb) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE WHEN jsonb_typeof(content) = 'number' THEN CASE
        WHEN abs(content::numeric) < 1e-30 THEN 0
        ELSE greatest(-1e30, least(1e30, content::numeric))
    END::double precision END
$$;

CREATE FUNCTION rankgres.filter_to_jsonpath_v2(searched_generation bigint, filter jsonb) RETURNS jsonpath
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    condition text := rankgres.filter_condition_v2(coalesce(filter, '{}'));
BEGIN
    IF condition = '' THEN
        RETURN NULL;
    END IF;
    PERFORM rankgres.filter_field_check_v1(
        searched_generation, ARRAY(SELECT rankgres.filter_fields_v1(filter)), 'filter'
    );
    RETURN condition::jsonpath;
END
$$;

CREATE FUNCTION rankgres.fuse_v1(lexical rankgres.ranked_chunk[], nearest rankgres.ranked_chunk[], fusion text, lexical_weight double precision, rrf_k integer) RETURNS TABLE(document_id text, score double precision, lexical_rank bigint, lexical_score double precision, vector_rank bigint, vector_score double precision, "position" integer)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    known constant text [] :=
        '{convex,relative_score,theoretical,zscore,distribution,rrf}';
BEGIN
    IF fusion IS NULL OR fusion <> ALL (known) THEN
        RAISE EXCEPTION 'fusion "%" is not known', fusion
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'fusion',
                HINT = 'use ' || array_to_string(known[:5], ', ') || ' or rrf';
    ELSIF lexical_weight IS NULL OR lexical_weight NOT BETWEEN 0 AND 1 THEN
        RAISE EXCEPTION 'lexical_weight % is not between 0 and 1', lexical_weight
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'lexical_weight',
                HINT = 'the vector stage gets the rest of 1';
    ELSIF rrf_k IS NULL OR rrf_k < 1 THEN
        RAISE EXCEPTION 'rrf_k is %', coalesce(rrf_k::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'rrf_k', HINT = 'use 1 or more';
    END IF;
    RETURN QUERY
    WITH words AS MATERIALIZED (
        SELECT * FROM rankgres.score_scale_v1(lexical, 'lexical', fusion)
    ),
    near AS MATERIALIZED (
        SELECT * FROM rankgres.score_scale_v1(nearest, 'vector', fusion)
    ),
    -- A list that is empty tells nothing of what it lacks.
    missing AS (
        SELECT
            coalesce((SELECT missing FROM words LIMIT 1), 0) AS from_words,
            coalesce((SELECT missing FROM near LIMIT 1), 0) AS from_near
    ),
    fused AS (
        SELECT
            document_id,
            CASE fusion
                WHEN 'rrf' THEN
                    coalesce(lexical_weight / (rrf_k::double precision + words.rank), 0)
                    + coalesce((1 - lexical_weight) / (rrf_k::double precision + near.rank), 0)
                ELSE
                    lexical_weight * coalesce(words.scaled, missing.from_words)
                    + (1 - lexical_weight) * coalesce(near.scaled, missing.from_near)
            END AS score,
            words.rank AS lexical_rank,
            words.score AS lexical_score,
            near.rank AS vector_rank,
            near.score AS vector_score
        FROM (SELECT * FROM words WHERE passage = 1) AS words
        FULL JOIN (SELECT * FROM near WHERE passage = 1) AS near USING (document_id)
        CROSS JOIN missing
    ),
    shown AS (
        SELECT DISTINCT ON (document_id COLLATE "C") document_id, position
        FROM words
        FULL JOIN near USING (document_id, position)
        CROSS JOIN missing
        ORDER BY
            document_id COLLATE "C",
            -- A passage that a list has is no worse for it than one that the list lacks.
            lexical_weight * greatest(words.scaled, missing.from_words)
                + (1 - lexical_weight) * greatest(near.scaled, missing.from_near) DESC,
            least(words.passage, near.passage),
            position
    )
    SELECT
        fused.document_id, fused.score, fused.lexical_rank, fused.lexical_score,
        fused.vector_rank, fused.vector_score, shown.position
    FROM fused JOIN shown USING (document_id)
    ORDER BY fused.score DESC, fused.document_id COLLATE "C";
END
$$;

CREATE FUNCTION rankgres.generation_configs_v1(searched_generation bigint, language text DEFAULT NULL::text) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    own text;
    automatic boolean;
    accents text;
    given text [];
BEGIN
    SELECT
        generation.text_search_config,
        generation.text_search_config IN ('auto', 'unaccent+auto'),
        substring(generation.text_search_config FROM '^unaccent\+')
    INTO STRICT own, automatic, accents
    FROM rankgres.generation
    WHERE generation.id = searched_generation;
    IF automatic AND language IS NOT NULL THEN
        own := rankgres.language_config_v1(language);
        IF own IS NULL THEN
            RAISE EXCEPTION 'language "%" is not known', language
                USING ERRCODE = 'invalid_parameter_value', COLUMN = 'language',
                    HINT = 'use a code such as de or pt-BR, or leave it out: '
                        'then documents of every language are found';
        END IF;
        RETURN ARRAY[concat(accents, own)];
    END IF;
    given := ARRAY(
        SELECT DISTINCT spoken.text_search_config
        FROM rankgres.generation_language AS spoken
        WHERE spoken.generation_id = searched_generation
        ORDER BY spoken.text_search_config
    );
    RETURN CASE
        WHEN NOT automatic THEN own || array_remove(given, own)
        -- No document yet.
        WHEN given = '{}' THEN ARRAY[concat(accents, 'simple')]
        ELSE given
    END;
END
$$;

CREATE TABLE rankgres.generation (
    id bigint NOT NULL,
    collection_id bigint NOT NULL,
    state text DEFAULT 'building'::text NOT NULL,
    embedding_model text NOT NULL,
    embedding_dimension integer NOT NULL,
    storage_type text NOT NULL,
    distance text NOT NULL,
    chunk_tokens integer NOT NULL,
    overlap_tokens integer NOT NULL,
    text_search_config text NOT NULL,
    bm25_k1 double precision NOT NULL,
    bm25_b double precision NOT NULL,
    hnsw_m integer NOT NULL,
    hnsw_ef_construction integer NOT NULL,
    hnsw_state text DEFAULT 'absent'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    activated_at timestamp with time zone,
    lexical_index text DEFAULT 'gin'::text NOT NULL,
    recall double precision,
    recall_k integer,
    recall_measured_at timestamp with time zone,
    CONSTRAINT generation_bm25_b_check CHECK (((bm25_b >= (0)::double precision) AND (bm25_b <= (1)::double precision))),
    CONSTRAINT generation_bm25_k1_check CHECK ((bm25_k1 >= (0)::double precision)),
    CONSTRAINT generation_chunk_tokens_check CHECK (((chunk_tokens >= 16) AND (chunk_tokens <= 32768))),
    CONSTRAINT generation_distance_check CHECK ((distance = ANY (ARRAY['cosine'::text, 'inner_product'::text, 'l2'::text]))),
    CONSTRAINT generation_embedding_dimension_check CHECK (((embedding_dimension >= 1) AND (embedding_dimension <=
CASE storage_type
    WHEN 'vector'::text THEN 2000
    ELSE 4000
END))),
    CONSTRAINT generation_hnsw_ef_construction_check CHECK (((hnsw_ef_construction >= (2 * hnsw_m)) AND (hnsw_ef_construction <= 1000))),
    CONSTRAINT generation_hnsw_m_check CHECK (((hnsw_m >= 2) AND (hnsw_m <= 100))),
    CONSTRAINT generation_hnsw_state_check CHECK ((hnsw_state = ANY (ARRAY['absent'::text, 'ready'::text]))),
    CONSTRAINT generation_lexical_index_check CHECK ((lexical_index = ANY (ARRAY['gin'::text, 'pg_textsearch'::text]))),
    CONSTRAINT generation_overlap_tokens_check CHECK (((overlap_tokens >= 0) AND (overlap_tokens <= (chunk_tokens / 2)))),
    CONSTRAINT generation_recall_check CHECK (((recall >= (0)::double precision) AND (recall <= (1)::double precision))),
    CONSTRAINT generation_state_check CHECK ((state = ANY (ARRAY['building'::text, 'active'::text, 'retired'::text]))),
    CONSTRAINT generation_storage_type_check CHECK ((storage_type = ANY (ARRAY['halfvec'::text, 'vector'::text, 'bit'::text])))
);

COMMENT ON TABLE rankgres.generation IS 'One immutable index configuration of a collection; only states and times ever change.';

COMMENT ON COLUMN rankgres.generation.text_search_config IS 'Name, not regconfig: pg_upgrade refuses tables with regconfig columns.';

COMMENT ON COLUMN rankgres.generation.recall IS 'Of the HNSW search against exact search, over recall_k; NULL: never measured.';

CREATE FUNCTION rankgres.generation_distance_v1(generation rankgres.generation, operand text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
    SELECT format(
        CASE generation.storage_type
            WHEN 'vector' THEN '(embedding_full::vector(%1$s) %2$s %3$s::vector(%1$s))'
            ELSE '(embedding::halfvec(%1$s) %2$s %3$s::halfvec(%1$s))'
        END,
        generation.embedding_dimension,
        CASE generation.distance WHEN 'cosine' THEN '<=>' WHEN 'l2' THEN '<->' ELSE '<#>' END,
        operand
    )
$_$;

CREATE FUNCTION rankgres.generation_hnsw_definition_v1(generation_id bigint) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT format(
        'CREATE INDEX CONCURRENTLY IF NOT EXISTS %I ON rankgres.%I USING hnsw (%s) '
        'WITH (m = %s, ef_construction = %s)',
        'chunk_' || generation.id || '_embedding',
        'chunk_' || generation.id,
        CASE generation.storage_type
            WHEN 'bit' THEN format(
                '(binary_quantize(embedding)::bit(%s)) %I.bit_hamming_ops',
                generation.embedding_dimension,
                extension_namespace.nspname
            )
            ELSE format(
                '(%s) %I.%I',
                CASE generation.storage_type
                    WHEN 'vector'
                        THEN format('embedding_full::vector(%s)', generation.embedding_dimension)
                    ELSE format('embedding::halfvec(%s)', generation.embedding_dimension)
                END,
                extension_namespace.nspname,
                format(
                    '%s_%s_ops',
                    generation.storage_type,
                    CASE generation.distance WHEN 'inner_product' THEN 'ip' ELSE generation.distance END
                )
            )
        END,
        generation.hnsw_m,
        generation.hnsw_ef_construction
    )
    FROM rankgres.generation
    CROSS JOIN pg_extension
    JOIN pg_namespace AS extension_namespace ON extension_namespace.oid = pg_extension.extnamespace
    WHERE generation.id = generation_id AND pg_extension.extname = 'vector'
$$;

CREATE FUNCTION rankgres.generation_hnsw_order_v1(generation rankgres.generation, operand text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
    SELECT CASE generation.storage_type
        WHEN 'bit' THEN format(
            '(binary_quantize(embedding)::bit(%1$s) <~> binary_quantize(%2$s)::bit(%1$s))',
            generation.embedding_dimension,
            operand
        )
        ELSE rankgres.generation_distance_v1(generation, operand)
    END
$_$;

CREATE FUNCTION rankgres.generation_row_security_v1(secured_generation bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    source rankgres.source;
    document record;
    chunks constant text := 'chunk_' || secured_generation;
    matches text;
BEGIN
    SELECT found.* INTO STRICT source
    FROM rankgres.source AS found
    JOIN rankgres.generation USING (collection_id)
    WHERE generation.id = secured_generation;
    SELECT * INTO document FROM rankgres.source_row_v1(source.collection_id);
    SELECT string_agg(
        format('source_row.%I OPERATOR(%I.=) %s::%s', name, operator_schema, part, type_name)
            -- Equal keys with other texts are other documents. Only where it is so: some texts hang on
            -- the settings of the session that searches.
            || CASE WHEN is_injective THEN '' ELSE format(' AND %s = %s', as_text, part) END,
        ' AND '
    )
    INTO matches
    FROM rankgres.source_columns_v1(source.relation, source.key_columns, 'source_row.')
        WITH ORDINALITY AS key (
            name, as_text, as_jsonb, as_hashable, type_name, operator_schema, is_injective, is_settled,
            place
        )
    CROSS JOIN LATERAL format(
        CASE cardinality(source.key_columns) WHEN 1 THEN '%1$I.document_id'
            ELSE '(%1$I.document_id::jsonb ->> %2$s)' END,
        chunks, place - 1
    ) AS part;
    EXECUTE format('ALTER TABLE rankgres.%I ENABLE ROW LEVEL SECURITY', chunks);
    EXECUTE format('DROP POLICY IF EXISTS source_visible ON rankgres.%I', chunks);
    EXECUTE format(
        'CREATE POLICY source_visible ON rankgres.%I FOR SELECT USING (EXISTS (SELECT FROM %s WHERE %s))',
        chunks, document.rows, matches
    );
END
$_$;

CREATE FUNCTION rankgres.generation_secured_v1() RETURNS bigint[]
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
    SELECT coalesce(array_agg(substring(relname::text FROM '^chunk_([0-9]+)$')::bigint), '{}')
    FROM pg_class
    WHERE relname >= 'chunk_' AND relname < 'chunk`'
        AND relnamespace = 'rankgres'::regnamespace
        AND relrowsecurity
        AND relname::text ~ '^chunk_[0-9]+$'
        AND row_security_active(oid)
$_$;

CREATE FUNCTION rankgres.generation_textsearch_index_v1(indexed_generation bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    generation rankgres.generation;
    partition constant text := 'chunk_' || indexed_generation;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_textsearch') THEN
        RAISE EXCEPTION 'lexical_index "pg_textsearch" needs the extension pg_textsearch here'
            USING ERRCODE = 'invalid_parameter_value',
                COLUMN = 'lexical_index',
                HINT = CASE
                    WHEN EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_textsearch')
                        THEN 'add it to shared_preload_libraries, restart Postgres, and run '
                            'CREATE EXTENSION pg_textsearch in this database; or use gin'
                    ELSE 'use gin, or install it: it exists for Postgres 17 and later'
                END;
    END IF;
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = indexed_generation;
    IF generation.bm25_k1 NOT BETWEEN 0.1 AND 10 THEN
        RAISE EXCEPTION 'bm25_k1 % is out of the range of pg_textsearch', generation.bm25_k1
            USING ERRCODE = 'invalid_parameter_value',
                COLUMN = 'bm25_k1',
                HINT = 'use 0.1 to 10, or lexical_index => ''gin''';
    END IF;
    EXECUTE format(
        'CREATE TRIGGER %I BEFORE INSERT OR UPDATE ON rankgres.%I
        FOR EACH ROW EXECUTE FUNCTION rankgres.chunk_textsearch_v1()',
        partition || '_textsearch',
        partition
    );
    EXECUTE format('UPDATE rankgres.%I SET lexemes = lexemes', partition);
    EXECUTE format(
        'CREATE INDEX %I ON rankgres.%I USING bm25 (textsearch_words)
        WITH (text_config = %L, k1 = %s, b = %s)',
        partition || '_textsearch',
        partition,
        'pg_catalog.simple',
        generation.bm25_k1,
        generation.bm25_b
    );
END
$$;

CREATE FUNCTION rankgres.generation_verify_v1(verified_generation bigint, repair boolean DEFAULT false) RETURNS TABLE(kind text, documents bigint, examples text[])
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    verified_collection constant bigint := (
        SELECT collection_id FROM rankgres.generation WHERE id = verified_generation
    );
    -- It has nothing to be compared with, and nothing of it is ever indexed again.
    is_detached constant boolean := (
        SELECT detached_at IS NOT NULL FROM rankgres.collection WHERE id = verified_collection
    );
BEGIN
    -- A drop of the collection waits for this lock, and not for that of the partition, behind which
    -- every search of other collections would wait as well. The partition alone is read, for the same
    -- reason.
    PERFORM pg_advisory_xact_lock_shared(
        hashtextextended('rankgres.generation_verify', verified_generation)
    );
    RETURN QUERY EXECUTE format(
        $statement$
        WITH source AS (
            SELECT read.document_id, read.content_hash
            -- STABLE: it reads what this statement sees, as it does the queue and the index.
            FROM rankgres.source_hashes_v1($2) AS read
            WHERE NOT $4
            UNION ALL
            SELECT document_id, coalesce(content_hash, '') FROM rankgres.indexed_document
            WHERE $4 AND generation_id = $1
        ),
        chunked AS (
            SELECT
                chunk.document_id,
                count(*) AS chunks,
                min(chunk.position) = 0 AND max(chunk.position) = count(*) - 1 AS whole,
                bool_or(chunk.embedding IS NULL AND chunk.embedding_full IS NULL) AS bare,
                sum(chunk.lexical_length) AS length
            FROM rankgres.%1$I AS chunk
            GROUP BY chunk.document_id
        ),
        indexed AS (
            SELECT
                coalesce(written.document_id, chunked.document_id) AS document_id,
                written.document_id IS NOT NULL AS known,
                written.content_hash,
                written.chunk_count = coalesce(chunked.chunks, 0) AND coalesce(chunked.whole, true)
                    AS whole,
                coalesce(chunked.bare, false) AS bare
            FROM (
                SELECT * FROM rankgres.indexed_document WHERE generation_id = $1
            ) AS written
            FULL JOIN chunked ON chunked.document_id = written.document_id
        ),
        queued AS (
            SELECT outbox.document_id, outbox.dead_at IS NOT NULL AS dead
            FROM rankgres.outbox
            WHERE outbox.generation_id = $1
            UNION ALL
            SELECT changed.document_id, false
            FROM rankgres.source_change
            CROSS JOIN LATERAL unnest(source_change.document_ids) AS changed (document_id)
            WHERE source_change.collection_id = $2
        ),
        queue AS (
            SELECT queued.document_id, bool_and(queued.dead) AS dead
            FROM queued
            GROUP BY queued.document_id
        ),
        -- What is known to come: the rest of a backfill, and a comparison that has not failed yet.
        expected AS (
            SELECT
                EXISTS (
                    SELECT FROM rankgres.backfill
                    WHERE backfill.generation_id = $1
                        AND backfill.finished_at IS NULL
                ) AS rest,
                EXISTS (
                    SELECT FROM rankgres.source_change
                    JOIN rankgres.source ON source.collection_id = source_change.collection_id
                    WHERE source_change.collection_id = $2
                        AND source_change.document_ids IS NULL
                        AND source.compare_error IS NULL
                ) AS comparison
        ),
        compared AS (
            SELECT
                coalesce(source.document_id, indexed.document_id) AS document_id,
                CASE
                    WHEN source.document_id IS NULL THEN 'gone'
                    WHEN indexed.known IS NOT TRUE THEN 'missing'
                    WHEN indexed.content_hash IS NULL AND NOT $4 THEN 'unhashed'
                    -- A row that cannot be read has no hash: indexing it will say why.
                    WHEN indexed.content_hash IS DISTINCT FROM source.content_hash THEN 'stale'
                    WHEN NOT indexed.whole THEN 'chunks'
                    WHEN indexed.bare THEN 'embedding'
                END AS kind
            FROM source
            FULL JOIN indexed ON indexed.document_id = source.document_id
        ),
        difference AS (
            SELECT
                coalesce(compared.document_id, queue.document_id) AS document_id,
                CASE
                    WHEN queue.dead THEN 'dead'
                    WHEN queue.document_id IS NOT NULL THEN 'pending'
                    WHEN expected.rest AND compared.kind = 'missing' THEN 'pending'
                    WHEN expected.comparison AND compared.kind IN ('missing', 'gone', 'stale')
                        THEN 'pending'
                    WHEN compared.kind <> 'gone' AND octet_length(compared.document_id) > 1024 THEN 'dead'
                    ELSE compared.kind
                END AS kind
            FROM (SELECT * FROM compared WHERE compared.kind IS NOT NULL) AS compared
            FULL JOIN queue ON queue.document_id = compared.document_id
            CROSS JOIN expected
        ),
        repaired_document AS (
            INSERT INTO rankgres.outbox (generation_id, document_id, priority)
            SELECT $1, difference.document_id, 1
            FROM difference
            WHERE $3 AND NOT $4 AND difference.kind NOT IN ('dead', 'pending')
            -- In the order in which everybody queues, so that no two wait for each other.
            ORDER BY difference.document_id
            ON CONFLICT (generation_id, document_id) DO NOTHING
        ),
        lexeme_difference AS (
            SELECT
                coalesce(kept.lexeme, counted.lexeme) AS lexeme,
                coalesce(counted.chunks, 0) - coalesce(kept.chunks, 0) AS chunks
            FROM (
                SELECT part.lexeme, sum(part.chunk_count) AS chunks
                FROM (
                    SELECT lexeme, chunk_count FROM rankgres.lexeme
                    WHERE generation_id = $1
                    UNION ALL
                    SELECT lexeme, chunk_count FROM rankgres.lexeme_change
                    WHERE generation_id = $1
                ) AS part
                GROUP BY part.lexeme
            ) AS kept
            FULL JOIN (
                SELECT found.lexeme COLLATE "C" AS lexeme, count(*) AS chunks
                FROM rankgres.%1$I AS chunk
                CROSS JOIN LATERAL unnest(tsvector_to_array(chunk.lexemes)) AS found (lexeme)
                GROUP BY 1
            ) AS counted ON counted.lexeme = kept.lexeme
            WHERE coalesce(counted.chunks, 0) <> coalesce(kept.chunks, 0)
        ),
        repaired_lexeme AS (
            -- As a change: what workers append meanwhile stays true beside it.
            INSERT INTO rankgres.lexeme_change (generation_id, lexeme, chunk_count)
            SELECT $1, lexeme_difference.lexeme, lexeme_difference.chunks
            FROM lexeme_difference
            WHERE $3
        ),
        total_difference AS (
            SELECT
                counted.chunks - kept.chunks AS chunks,
                counted.documents - kept.documents AS documents,
                counted.length - kept.length AS length
            FROM (
                SELECT
                    coalesce(sum(part.chunk_count), 0) AS chunks,
                    coalesce(sum(part.document_count), 0) AS documents,
                    coalesce(sum(part.lexical_length), 0) AS length
                FROM (
                    SELECT chunk_count, document_count, lexical_length FROM rankgres.chunk_total
                    WHERE generation_id = $1
                    UNION ALL
                    SELECT chunk_count, document_count, lexical_length FROM rankgres.chunk_total_change
                    WHERE generation_id = $1
                ) AS part
            ) AS kept
            CROSS JOIN (
                SELECT
                    coalesce(sum(chunked.chunks), 0) AS chunks,
                    count(*) AS documents,
                    coalesce(sum(chunked.length), 0) AS length
                FROM chunked
            ) AS counted
            WHERE (counted.chunks, counted.documents, counted.length)
                <> (kept.chunks, kept.documents, kept.length)
        ),
        repaired_total AS (
            INSERT INTO rankgres.chunk_total_change (
                generation_id, chunk_count, document_count, lexical_length
            )
            SELECT $1, chunks, documents, length FROM total_difference WHERE $3
        ),
        finding AS (
            SELECT difference.kind, left(difference.document_id, 1024) AS example FROM difference
            UNION ALL
            SELECT 'statistics', lexeme_difference.lexeme FROM lexeme_difference
            UNION ALL
            SELECT 'statistics', '' FROM total_difference
        ),
        numbered AS (
            SELECT
                finding.kind,
                finding.example,
                row_number() OVER (PARTITION BY finding.kind ORDER BY finding.example COLLATE "C") AS place
            FROM finding
        )
        SELECT
            numbered.kind,
            count(*),
            array_agg(numbered.example ORDER BY numbered.place) FILTER (WHERE numbered.place <= 10)
        FROM numbered
        GROUP BY numbered.kind
        $statement$,
        'chunk_' || verified_generation
    ) USING verified_generation, verified_collection, repair, is_detached;
END
$_$;

CREATE FUNCTION rankgres.language_config_v1(language text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
    WITH wanted AS (
        SELECT split_part(replace(lower(btrim(language)), '_', '-'), '-', 1) AS code
    ),
    named AS (
        SELECT wanted.code, coalesce(
            (
                SELECT known.config
                FROM (VALUES
                    ('arabic', '{ar,ara}'), ('armenian', '{hy,hye,arm}'), ('basque', '{eu,eus,baq}'),
                    ('catalan', '{ca,cat}'), ('danish', '{da,dan}'), ('dutch', '{nl,nld,dut}'),
                    ('english', '{en,eng}'), ('estonian', '{et,est}'), ('finnish', '{fi,fin}'),
                    ('french', '{fr,fra,fre}'), ('german', '{de,deu,ger}'),
                    ('greek', '{el,ell,gre}'), ('hindi', '{hi,hin}'), ('hungarian', '{hu,hun}'),
                    ('indonesian', '{id,ind}'), ('irish', '{ga,gle}'), ('italian', '{it,ita}'),
                    ('lithuanian', '{lt,lit}'), ('nepali', '{ne,nep}'),
                    ('norwegian', '{no,nb,nn,nor,nob,nno}'), ('portuguese', '{pt,por}'),
                    ('romanian', '{ro,ron,rum}'), ('russian', '{ru,rus}'), ('serbian', '{sr,srp}'),
                    ('spanish', '{es,spa}'), ('swedish', '{sv,swe}'), ('tamil', '{ta,tam}'),
                    ('turkish', '{tr,tur}'), ('yiddish', '{yi,yid}')
                ) AS known (config, codes)
                WHERE wanted.code = ANY (known.codes::text [])
            ),
            wanted.code
        ) AS config
        FROM wanted
    )
    SELECT CASE
        WHEN EXISTS (
            SELECT FROM pg_ts_config
            WHERE cfgname = named.config AND cfgnamespace = 'pg_catalog'::regnamespace
        ) THEN named.config
        WHEN named.code ~ '^[a-z]{2,3}$' THEN 'simple'
    END
    FROM named
$_$;

CREATE FUNCTION rankgres.lexeme_correction_v1(searched_generation bigint, missing text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    last_letter constant text := U&'\+10FFFF';
    first_letter constant text := left(missing, 1);
    letters text [];
    nearest text;
    farther text;
BEGIN
    IF length(missing) NOT BETWEEN 4 AND 40 THEN
        RETURN NULL;
    END IF;
    -- Those of the word's scripts: its letters' blocks of 128, of which Latin is known better.
    SELECT array_agg(DISTINCT chr(code)) INTO letters
    FROM (
        SELECT DISTINCT ascii(letter) / 128 AS number
        FROM string_to_table(missing, NULL) AS letter
        ORDER BY number
        LIMIT 3
    ) AS block
    CROSS JOIN LATERAL (
        SELECT generate_series(97, 122) AS code WHERE number = 0
        UNION ALL
        SELECT generate_series(223, 255) WHERE number IN (0, 1)
        UNION ALL
        SELECT generate_series(number * 128, number * 128 + 127) WHERE number > 1
    ) AS letter;

    SELECT lexeme INTO nearest
    FROM rankgres.query_lexemes_v2(
        searched_generation, rankgres.edit_variants_v1(missing, letters), NULL
    )
    ORDER BY left(lexeme, 1) = first_letter DESC, chunk_count DESC, lexeme COLLATE "C"
    LIMIT 1;
    IF left(nearest, 1) = first_letter OR length(missing) < 8 THEN
        RETURN nearest;
    END IF;

    FOR farther IN
        SELECT counted.lexeme
        FROM rankgres.query_lexemes_v2(
            searched_generation,
            ARRAY(
                SELECT DISTINCT begun.lexeme
                FROM unnest(
                    rankgres.edit_variants_v1(left(missing, 4), letters) || left(missing, 4)
                ) AS beginning
                CROSS JOIN LATERAL (
                    SELECT base.lexeme FROM rankgres.lexeme AS base
                    WHERE base.generation_id = searched_generation
                        AND base.lexeme >= beginning AND base.lexeme < beginning || last_letter
                    UNION ALL
                    SELECT change.lexeme FROM rankgres.lexeme_change AS change
                    WHERE change.generation_id = searched_generation
                        AND change.lexeme >= beginning AND change.lexeme < beginning || last_letter
                    -- Read from the index first, and looked at then.
                    OFFSET 0
                ) AS begun
                -- Quickly told: an edit brings or takes one letter at most.
                WHERE length(begun.lexeme) BETWEEN length(missing) - 2 AND length(missing) + 2
                    AND length(translate(begun.lexeme, missing, '')) <= 2
                    AND length(translate(missing, begun.lexeme, '')) <= 2
            ),
            NULL
        ) AS counted
        ORDER BY
            left(counted.lexeme, 1) = first_letter DESC,
            counted.chunk_count DESC,
            counted.lexeme COLLATE "C"
    LOOP
        -- At one edit stands none with this first letter; with another, it is nearer.
        CONTINUE WHEN nearest IS NOT NULL AND left(farther, 1) <> first_letter;
        IF rankgres.edit_distance_v1(missing, farther, 2) <= 2 THEN
            RETURN farther;
        END IF;
    END LOOP;
    RETURN nearest;
END
$$;

CREATE FUNCTION rankgres.lexemes_bounded_v1(text_search_config regconfig, words text) RETURNS tsvector
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    found tsvector;
BEGIN
    LOOP
        BEGIN
            found := to_tsvector(text_search_config, words);
            -- A tsvector holds 1 MB, and a heading as large may come to it.
            IF pg_column_size(found) <= 480 * 1024 THEN
                RETURN found;
            END IF;
        EXCEPTION WHEN program_limit_exceeded THEN
            -- Half of it is tried next.
        END;
        words := left(words, length(words) / 2);
    END LOOP;
END
$$;

CREATE FUNCTION rankgres.lexemes_v1(text_search_config text, content text) RETURNS tsvector
    LANGUAGE sql STABLE
    AS $$
    SELECT CASE
        -- Lexemes with positions take at most four times the bytes of their text.
        WHEN octet_length(content) > 65536 THEN
            rankgres.lexemes_bounded_v1(
                replace(text_search_config, 'unaccent+', '')::regconfig,
                rankgres.lexemes_words_v1(content, text_search_config LIKE 'unaccent+%')
            )
        -- ASCII needs no more than this, and most text is that; as in lexemes_words.
        WHEN octet_length(content) = length(content) THEN
            to_tsvector(
                replace(text_search_config, 'unaccent+', '')::regconfig,
                replace(replace(regexp_replace(
                    content, '(?<=[a-zA-Z_])[./](?=[a-zA-Z_])|(?<![a-zA-Z0-9_:/<])/(?=[a-zA-Z_])', ' ', 'g'
                ), '<', ' '), '>', ' ')
            )
        ELSE
            to_tsvector(
                replace(text_search_config, 'unaccent+', '')::regconfig,
                rankgres.lexemes_words_v1(content, text_search_config LIKE 'unaccent+%')
            )
    END
$$;

CREATE FUNCTION rankgres.lexemes_words_v1(content text, strip_accents boolean) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    punctuation constant text :=
        -- Latin-1 (not ª, ², ³, µ, ¹, º, ¼, ½, ¾), Greek, Armenian, Hebrew, Arabic, Indic, Tibetan
        '[<>\u00a0-\u00a9\u00ab\u00ac\u00ae-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7'
        '\u037e\u0387\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u05f3\u05f4\u060c\u061b\u061e\u061f'
        '\u066a-\u066d\u06d4\u0964\u0965\u0df4\u0e3f\u0e4f\u0e5a\u0e5b\u0f04-\u0f14\u104a-\u104f'
        '\u1361-\u1368\u17d4-\u17d6\u17d8-\u17da'
        -- general punctuation, currencies, signs, arrows to symbols, CJK, private use, emoji
        '\u2000-\u206f\u20a0-\u20cf\u2117\u2120-\u2122\u2190-\u2bff\u2e00-\u2e7f'
        '\u3000-\u3004\u3008-\u3020\u3030\u303d-\u303f\u30a0\u30fb\ue000-\uf8ff\ufe00-\ufe6f\ufeff'
        '\uff61-\uff65\ufff9-\uffff\U0001f000-\U0001faff]';
    -- All but ASCII, common Latin, Greek, Cyrillic, Hebrew and Arabic letters, kana, Han and Hangul:
    -- what NFKC may change.
    abnormal constant text :=
        '[^\u0001-\u007f\u00c0-\u0131\u0134-\u013e\u0141-\u0148\u014a-\u017e\u0386-\u03ce'
        '\u0400-\u0481\u048a-\u052f\u05d0-\u05ea\u0620-\u064a\u0660-\u0669\u0671-\u0674'
        '\u0679-\u06d3\u3005-\u3007\u3041-\u3096\u309d\u309e\u30a1-\u30fa\u30fc-\u30fe'
        '\u3105-\u312f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]';
    -- A letter that begins a unit of a pair; the marks that may follow it.
    letter constant text :=
        '\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b\u3041-\u3096\u309d-\u309f\u30a1-\u30fa'
        '\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff'
        '\U00020000-\U0003ffff\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7a3'
        '\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0edc-\u0edf'
        '\u1780-\u17b3\u17d7\u17dc\u1000-\u102a\u103f\u1050-\u1055\u105a-\u105d\u1061\u1065\u1066'
        '\u106e-\u1070\u1075-\u1081\u108e';
    mark constant text :=
        '\u3099\u309a\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u17b4-\u17d3'
        '\u102b-\u103e\u1056-\u1059\u105e-\u1060\u1062-\u1064\u1067-\u106d\u1071-\u1074\u1082-\u108d';
BEGIN
    IF octet_length(content) = length(content) THEN
        RETURN replace(replace(regexp_replace(
            content, '(?<=[a-zA-Z_])[./](?=[a-zA-Z_])|(?<![a-zA-Z0-9_:/<])/(?=[a-zA-Z_])', ' ', 'g'
        ), '<', ' '), '>', ' ');
    END IF;
    -- An apostrophe as typed; a soft hyphen is no character of its word.
    content := replace(replace(content, U&'\2019', ''''), U&'\00AD', '');
    content := regexp_replace(
        content,
        '(?<=[a-zA-Z_\u00c0-\uffff])[./](?=[a-zA-Z_\u00c0-\uffff])'
        '|(?<![a-zA-Z0-9_:/<\u00c0-\uffff])/(?=[a-zA-Z_\u00c0-\uffff])|' || punctuation,
        ' ', 'g'
    );
    -- Most text is normal, and the look costs a tenth of normalising it.
    IF content ~ abnormal THEN
        -- NFKC takes am of Thai and Lao apart, which everybody types as one letter.
        content := replace(replace(
            normalize(content, NFKC), U&'\0E4D\0E32', U&'\0E33'), U&'\0ECD\0EB2', U&'\0EB3');
    END IF;
    IF strip_accents THEN
        content := normalize(
            regexp_replace(normalize(content, NFD), '(?<![Ии])[\u0300-\u036f]', '', 'g'), NFC
        );
        -- These letters have no accent that could be taken away.
        content := replace(replace(replace(replace(replace(replace(replace(
            translate(content, 'ØøŁłĐđÐðĦħĿŀŦŧı', 'OoLlDdDdHhLlTti'),
            'ß', 'ss'), 'ẞ', 'SS'), 'æ', 'ae'), 'Æ', 'AE'), 'œ', 'oe'), 'Œ', 'OE'), 'þ', 'th');
    END IF;
    IF content ~ ('[' || letter || ']') THEN
        -- Apart from words of other scripts beside them.
        content := regexp_replace(content, '[' || letter || mark || ']+', ' \& ', 'g');
        -- A unit between two others is the second of one pair and the first of the next.
        content := regexp_replace(
            content,
            '(?<=[' || letter || mark || '])[' || letter || '][' || mark || ']*(?=[' || letter || '])',
            '\& \&',
            'g'
        );
    END IF;
    RETURN content;
END
$$;

CREATE FUNCTION rankgres.lexical_promise_v1(terms tsquery[], weights double precision[], threshold double precision) RETURNS tsquery[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    -- Sums of the same weights in another order differ by less.
    rounding constant double precision := 1e-9;
    left_over double precision := (SELECT coalesce(sum(weight), 0) FROM unnest(weights) AS weight);
    branches tsquery [] := '{}';
    deeper tsquery [];
    others tsquery;
BEGIN
    FOR place IN 1..cardinality(terms) LOOP
        EXIT WHEN left_over < threshold - rounding;
        left_over := left_over - weights[place];
        IF weights[place] >= threshold - rounding THEN
            branches := branches || terms[place];
            CONTINUE;
        END IF;
        deeper := rankgres.lexical_promise_v1(
            terms[place + 1:], weights[place + 1:], threshold - weights[place]
        );
        CONTINUE WHEN deeper = '{}';
        others := deeper[1];
        FOR branch IN 2..cardinality(deeper) LOOP
            others := others || deeper[branch];
        END LOOP;
        branches := branches || (terms[place] && others);
    END LOOP;
    RETURN branches;
END
$$;

CREATE FUNCTION rankgres.lexical_rungs_v1(weights double precision[], counts double precision[], chunk_total double precision, wanted double precision) RETURNS TABLE(threshold double precision, unseen double precision, expected double precision)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    -- Bit place - 1 of mask says whether a term is in the set.
    WITH term_set AS (
        SELECT promise.promised, chunk_total * promise.share AS expected
        FROM generate_series(1, (1 << cardinality(weights)) - 1) AS mask
        CROSS JOIN LATERAL (
            SELECT
                sum(weights[place]) FILTER (WHERE mask >> (place - 1) & 1 = 1) AS promised,
                exp(sum(ln(greatest(1e-12, CASE mask >> (place - 1) & 1
                    WHEN 1 THEN counts[place] / chunk_total
                    ELSE 1 - counts[place] / chunk_total
                END)))) AS share
            FROM generate_series(1, cardinality(weights)) AS place
        ) AS promise
    ),
    cumulated AS (
        SELECT
            promised AS threshold,
            lead(promised, 1, 0::double precision) OVER (ORDER BY promised DESC) AS unseen,
            sum(expected) OVER (ORDER BY promised DESC ROWS UNBOUNDED PRECEDING) AS expected
        FROM term_set
    ),
    stepped AS (
        SELECT
            *,
            CASE
                WHEN unseen = 0 THEN 1000
                WHEN expected >= wanted THEN floor(log(1.5, (expected / wanted)::numeric))
                -- A common term that weighs much makes a leap: what is above it is not to be missed.
                WHEN lead(expected) OVER (ORDER BY threshold DESC) > 3 * wanted THEN -1
            END AS step
        FROM cumulated
    )
    SELECT DISTINCT ON (step) threshold, unseen, expected
    FROM stepped
    WHERE step IS NOT NULL
    ORDER BY step, threshold DESC
$$;

CREATE FUNCTION rankgres.lexical_score_v1(term_count integer, headings_weighted boolean) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
    SELECT '($4 + 1) * (' || string_agg(
        format(
            CASE WHEN headings_weighted THEN
                '($2)[%1$s] * (1 - saturation / (saturation
                    + floor(0.6079271018540267 / (1 - ts_rank(''{1,1,1,1}'', lexemes, ($1)[%1$s])))
                    + ($6 - 1) * floor(0.6079271018540267
                        / (1 - ts_rank(''{0,0,0,1}'', lexemes, ($1)[%1$s])))))'
            ELSE
                '($2)[%1$s] * (1 - saturation / (saturation
                    + floor(0.6079271018540267 / (1 - ts_rank(''{1,1,1,1}'', lexemes, ($1)[%1$s])))))'
            END,
            place
        ),
        ' + '
    ) || ')'
    FROM generate_series(1, term_count) AS place
$_$;

CREATE FUNCTION rankgres.lexical_statistics_v1(searched_generation bigint, OUT chunk_total double precision, OUT mean_length double precision) RETURNS record
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT
        nullif(sum(total.chunk_count), 0),
        sum(total.lexical_length)::double precision / nullif(sum(total.chunk_count), 0)
    FROM (
        SELECT chunk_count, lexical_length FROM rankgres.chunk_total
        WHERE generation_id = searched_generation
        UNION ALL
        SELECT chunk_count, lexical_length FROM rankgres.chunk_total_change
        WHERE generation_id = searched_generation
    ) AS total
$$;

CREATE FUNCTION rankgres.lexical_terms_v1(searched_generation bigint, parsed rankgres.parsed_query, chunk_total double precision, OUT terms tsquery[], OUT weights double precision[], OUT counts double precision[], OUT cut boolean) RETURNS record
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT
        array_agg(wanted.term ORDER BY wanted.place) FILTER (WHERE wanted.place <= 64),
        array_agg(
            wanted.query_frequency
            * ln(1 + (chunk_total - wanted.found_in + 0.5) / (wanted.found_in + 0.5))
            ORDER BY wanted.place
        ) FILTER (WHERE wanted.place <= 64),
        array_agg(wanted.found_in ORDER BY wanted.place) FILTER (WHERE wanted.place <= 64),
        count(*) > 64
    FROM (
        SELECT
            lexeme.term,
            lexeme.query_frequency,
            -- A worker may have counted chunks that this session does not see yet.
            least(lexeme.chunk_count, chunk_total) AS found_in,
            lexeme.place
        FROM rankgres.query_lexemes_v2(
            searched_generation, parsed.lexemes, parsed.frequencies
        ) WITH ORDINALITY AS lexeme (lexeme, query_frequency, chunk_count, term, place)
    ) AS wanted
$$;

CREATE FUNCTION rankgres.milliseconds_v1(earlier timestamp with time zone, later timestamp with time zone) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT round(1000 * extract(EPOCH FROM later - earlier), 3)
$$;

CREATE FUNCTION rankgres.min_max_v1(score double precision, least_score double precision, greatest_score double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE
        WHEN greatest_score > least_score
            THEN (score - least_score) / (greatest_score - least_score)
        WHEN score IS NOT NULL THEN 1
    END
$$;

CREATE FUNCTION rankgres.outbox_claim_v2(claimed_generation bigint, batch_size integer, lease_for interval, max_attempts integer, bulk boolean DEFAULT true) RETURNS TABLE(document_id text, version bigint, lease uuid, attempts integer)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    new_lease constant uuid := gen_random_uuid();
    -- In a variable, so that the index ends the search there.
    moment constant timestamptz := clock_timestamp();
    due_ids text [];
BEGIN
    IF EXISTS (
        SELECT FROM rankgres.generation
        JOIN rankgres.collection ON collection.id = generation.collection_id
        WHERE generation.id = claimed_generation AND collection.paused_at IS NOT NULL
    ) THEN
        RETURN;
    END IF;
    LOOP
        FOR wanted_priority IN 0..bulk::integer LOOP
            due_ids := ARRAY(
                SELECT placed.document_id
                FROM (
                    SELECT
                        due.document_id,
                        due.suspect,
                        row_number() OVER due_first AS place,
                        first_value(due.suspect) OVER due_first AS alone
                    FROM (
                        SELECT
                            outbox.document_id,
                            outbox.due_at,
                            outbox.attempts >= 2 AND outbox.attempts < max_attempts AS suspect
                        FROM rankgres.outbox
                        WHERE outbox.generation_id = claimed_generation
                            AND outbox.priority = wanted_priority
                            AND outbox.dead_at IS NULL
                            AND outbox.due_at <= moment
                        ORDER BY outbox.due_at, outbox.document_id
                        LIMIT batch_size
                        FOR UPDATE SKIP LOCKED
                    ) AS due
                    WINDOW due_first AS (ORDER BY due.due_at, due.document_id)
                ) AS placed
                WHERE placed.place = 1 OR NOT (placed.alone OR placed.suspect)
            );
            EXIT WHEN due_ids <> '{}';
        END LOOP;
        EXIT WHEN due_ids = '{}';
        RETURN QUERY
        WITH leased AS (
            UPDATE rankgres.outbox SET
                lease = CASE WHEN outbox.attempts < max_attempts THEN new_lease END,
                due_at = clock_timestamp() + lease_for,
                attempts = outbox.attempts + (outbox.attempts < max_attempts)::integer,
                dead_at = CASE WHEN outbox.attempts >= max_attempts THEN clock_timestamp() END,
                last_error = CASE
                    WHEN outbox.attempts >= max_attempts THEN coalesce(
                        outbox.last_error,
                        format('no worker finished it in %s leases', outbox.attempts)
                    )
                    ELSE outbox.last_error
                END
            WHERE outbox.generation_id = claimed_generation AND outbox.document_id = ANY (due_ids)
            RETURNING outbox.document_id, outbox.version, outbox.lease, outbox.attempts
        )
        SELECT leased.document_id, leased.version, leased.lease, leased.attempts
        FROM leased
        WHERE leased.lease IS NOT NULL
        ORDER BY leased.document_id;
        -- Where all were made dead letters others may be due.
        EXIT WHEN FOUND;
    END LOOP;
END
$$;

CREATE FUNCTION rankgres.outbox_extend_v2(leased_generation bigint, held_lease uuid, document_ids text[], lease_for interval) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    -- Arrays, not joins: see outbox_finish_if_leased.
    UPDATE rankgres.outbox SET due_at = clock_timestamp() + lease_for
    WHERE outbox.generation_id = leased_generation
        AND outbox.document_id = ANY (ARRAY(
            SELECT held.document_id
            FROM rankgres.outbox AS held
            WHERE held.generation_id = leased_generation
                AND held.document_id = ANY (document_ids)
                AND held.lease = held_lease
            FOR UPDATE SKIP LOCKED
        ))
$$;

CREATE FUNCTION rankgres.outbox_fail_v1(leased_generation bigint, held_lease uuid, document_ids text[], errors text[], max_attempts integer) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    UPDATE rankgres.outbox SET
        lease = NULL,
        last_error = left(failed.error, 2000),
        due_at = clock_timestamp() + make_interval(
            secs => least(3600, 2 ^ least(outbox.attempts, 12)) * (0.5 + random())
        ),
        dead_at = CASE WHEN outbox.attempts >= max_attempts THEN clock_timestamp() END
    FROM (
        SELECT outbox.document_id, given.error
        FROM rankgres.outbox
        JOIN unnest(document_ids, errors) AS given (document_id, error) USING (document_id)
        WHERE outbox.generation_id = leased_generation AND outbox.lease = held_lease
        FOR UPDATE OF outbox SKIP LOCKED
    ) AS failed
    WHERE outbox.generation_id = leased_generation
        AND outbox.document_id = failed.document_id
$$;

CREATE FUNCTION rankgres.outbox_finish_if_leased_v2(leased_generation bigint, held_lease uuid, document_ids text[], versions bigint[]) RETURNS SETOF text
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    -- Arrays, not joins: whatever the planner takes the queue's length to be, it reads these rows alone.
    DELETE FROM rankgres.outbox
    WHERE outbox.generation_id = leased_generation
        AND outbox.document_id = ANY (ARRAY(
            SELECT held.document_id
            FROM rankgres.outbox AS held
            WHERE held.generation_id = leased_generation
                AND held.document_id = ANY (document_ids)
                -- No version is given twice, so any of them is this document's.
                AND held.version = ANY (versions)
                AND held.lease = held_lease
            FOR UPDATE SKIP LOCKED
        ))
    RETURNING outbox.document_id
$$;

CREATE FUNCTION rankgres.outbox_queue_v1(queued_generation bigint, document_ids text[], queued_priority smallint DEFAULT 1) RETURNS bigint
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    WITH queued AS (
        INSERT INTO rankgres.outbox (generation_id, document_id, priority, last_error, dead_at)
        SELECT
            queued_generation, id, queued_priority,
            CASE WHEN octet_length(id) > 1024 THEN 'its key has more than 1024 bytes' END,
            CASE WHEN octet_length(id) > 1024 THEN clock_timestamp() END
        FROM (SELECT DISTINCT unnest(document_ids) AS id) AS given
        WHERE octet_length(id) <= 2600
        ORDER BY id
        ON CONFLICT (generation_id, document_id) DO NOTHING
        RETURNING dead_at
    )
    SELECT count(*) FROM queued WHERE dead_at IS NULL
$$;

CREATE FUNCTION rankgres.outbox_release_v2(leased_generation bigint, held_lease uuid, document_ids text[], pause interval DEFAULT '00:00:00'::interval, reason text DEFAULT NULL::text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    -- Arrays, not joins: see outbox_finish_if_leased.
    UPDATE rankgres.outbox SET
        lease = NULL,
        due_at = clock_timestamp() + pause,
        last_error = coalesce(left(reason, 2000), outbox.last_error),
        attempts = greatest(attempts - 1, 0)
    WHERE outbox.generation_id = leased_generation
        AND outbox.document_id = ANY (ARRAY(
            SELECT held.document_id
            FROM rankgres.outbox AS held
            WHERE held.generation_id = leased_generation
                AND held.document_id = ANY (document_ids)
                AND held.lease = held_lease
            FOR UPDATE SKIP LOCKED
        ))
$$;

CREATE FUNCTION rankgres.parameter_number_v1(parameter text, given jsonb, name text, fallback double precision, least_value double precision, greatest_value double precision) RETURNS double precision
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
    IF coalesce(given -> name, 'null') = 'null' THEN
        RETURN fallback;
    ELSIF jsonb_typeof(given -> name) <> 'number'
        OR (given -> name)::numeric NOT BETWEEN least_value::numeric AND greatest_value::numeric THEN
        RAISE EXCEPTION '% has "%" %', parameter, name, given -> name
            USING ERRCODE = 'invalid_parameter_value', COLUMN = parameter,
                HINT = format('use a number from %s to %s', least_value, greatest_value);
    END IF;
    RETURN (given -> name)::numeric;
END
$$;

CREATE FUNCTION rankgres.parameter_object_v1(parameter text, given jsonb, known text[], shapes text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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
$$;

CREATE FUNCTION rankgres.parameter_seconds_v1(parameter text, given jsonb, name text, fallback double precision, least_value double precision) RETURNS double precision
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    -- Longer than there are dates, shorter than what sums of seconds stand.
    greatest_value constant double precision := 1e13;
    seconds double precision;
BEGIN
    IF coalesce(given -> name, 'null') = 'null' AND fallback IS NOT NULL THEN
        RETURN fallback;
    ELSIF jsonb_typeof(given -> name) = 'number' THEN
        seconds := rankgres.filter_number_v1(given -> name);
    ELSIF jsonb_typeof(given -> name) = 'string' AND pg_input_is_valid(given ->> name, 'interval') THEN
        seconds := extract(EPOCH FROM (given ->> name)::interval);
    END IF;
    IF seconds BETWEEN least_value AND greatest_value THEN
        RETURN seconds;
    END IF;
    RAISE EXCEPTION '% has "%" %', parameter, name, coalesce(given -> name, 'null')
        USING ERRCODE = 'invalid_parameter_value', COLUMN = parameter,
            HINT = 'use a length of time like "30 days", or a number of seconds'
                || CASE WHEN least_value > 0 THEN ' over 0' ELSE '' END;
END
$$;

CREATE FUNCTION rankgres.pause(collection text) RETURNS void
    LANGUAGE sql
    AS $$
    SELECT rankgres.pause_v1(collection)
$$;

CREATE FUNCTION rankgres.pause_v1(paused_collection text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    UPDATE rankgres.collection SET paused_at = coalesce(paused_at, now())
    WHERE id = rankgres.source_authorize_v1(paused_collection);
END
$$;

CREATE FUNCTION rankgres.query_correct_v1(searched_generation bigint, parsed rankgres.parsed_query) RETURNS TABLE(corrected rankgres.parsed_query, corrections jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    max_looked_at constant integer := 50;
    max_corrected constant integer := 5;
    standing text [] := ARRAY(
        SELECT lexeme
        FROM rankgres.query_lexemes_v2(searched_generation, parsed.lexemes, parsed.frequencies)
    );
    all_standing tsvector;
    wrong text [];
    mended text [];
BEGIN
    corrected := parsed;
    corrections := '{}';
    IF cardinality(standing) < cardinality(parsed.lexemes) THEN
        all_standing := array_to_tsvector(standing);
        WITH hopeless AS MATERIALIZED (
            SELECT clause
            FROM unnest(parsed.clauses) AS clause
            WHERE NOT all_standing @@ clause AND parsed.condition @> clause IS NOT TRUE
        ),
        absent AS MATERIALIZED (
            SELECT
                lexeme,
                min(place) AS place,
                ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS term
            FROM (
                SELECT lexeme, place
                FROM unnest(parsed.lexemes) WITH ORDINALITY AS asked (lexeme, place)
                UNION ALL
                SELECT lexeme, NULL FROM unnest(standing) AS found (lexeme)
            ) AS either
            WHERE length(lexeme) >= 4 AND lexeme !~ '[[:digit:][:punct:][:space:]]'
            GROUP BY lexeme
            HAVING count(*) = count(place)
            ORDER BY 2
            LIMIT max_looked_at
        ),
        missing AS (
            SELECT lexeme, place
            FROM absent
            WHERE EXISTS (SELECT FROM hopeless WHERE hopeless.clause @> absent.term)
            ORDER BY place
            LIMIT max_corrected
        )
        SELECT array_agg(found.wrong), array_agg(found.mended)
        INTO wrong, mended
        FROM (
            SELECT
                missing.lexeme AS wrong,
                rankgres.lexeme_correction_v1(searched_generation, missing.lexeme) AS mended
            FROM missing
            ORDER BY missing.place
        ) AS found
        WHERE found.mended IS NOT NULL;
    END IF;

    IF wrong IS NOT NULL THEN
        SELECT jsonb_object_agg(pair.wrong, pair.mended) INTO corrections
        FROM unnest(wrong, mended) AS pair (wrong, mended);
        SELECT
            array_agg(put_right.lexeme ORDER BY put_right.place),
            array_agg(put_right.frequency ORDER BY put_right.place)
        INTO corrected.lexemes, corrected.frequencies
        FROM (
            SELECT
                coalesce(mended[array_position(wrong, asked.lexeme)], asked.lexeme) AS lexeme,
                least(sum(asked.frequency), 255)::integer AS frequency,
                min(asked.place) AS place
            FROM unnest(parsed.lexemes, parsed.frequencies) WITH ORDINALITY
                AS asked (lexeme, frequency, place)
            GROUP BY 1
        ) AS put_right;
        FOR place IN 1..cardinality(wrong) LOOP
            SELECT array_agg(ts_rewrite(
                clause,
                ('''' || wrong[place] || '''')::tsquery,
                (
                    '''' || wrong[place] || '''|'''
                    || replace(replace(mended[place], '\', '\\'), '''', '''''') || ''''
                )::tsquery
            ) ORDER BY number)
            INTO corrected.clauses
            FROM unnest(corrected.clauses) WITH ORDINALITY AS asked (clause, number);
        END LOOP;
    END IF;
    RETURN NEXT;
END
$$;

CREATE FUNCTION rankgres.query_lexemes_v2(searched_generation bigint, lexemes text[], frequencies integer[]) RETURNS TABLE(lexeme text, query_frequency integer, chunk_count bigint, term tsquery)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
#variable_conflict use_column
BEGIN
    IF NOT coalesce(
        row_security_active(to_regclass('rankgres.chunk_' || searched_generation)::oid), false
    ) THEN
        RETURN QUERY
        SELECT
            counted.lexeme,
            counted.query_frequency,
            counted.chunk_count,
            ('''' || replace(replace(counted.lexeme, '\', '\\'), '''', '''''') || '''')::tsquery
        FROM (
            SELECT
                wanted.lexeme,
                wanted.query_frequency,
                -- A bigint: the sum of integers is one, and what the base holds as well.
                coalesce((
                    SELECT base.chunk_count FROM rankgres.lexeme AS base
                    WHERE base.generation_id = searched_generation AND base.lexeme = wanted.lexeme
                ), 0) + coalesce((
                    SELECT sum(change.chunk_count) FROM rankgres.lexeme_change AS change
                    WHERE change.generation_id = searched_generation AND change.lexeme = wanted.lexeme
                ), 0) AS chunk_count
            FROM unnest(lexemes, frequencies) AS wanted (lexeme, query_frequency)
            -- Keeps the counts from being looked up once more for the condition and the order.
            OFFSET 0
        ) AS counted
        WHERE counted.chunk_count > 0
        ORDER BY counted.chunk_count, counted.lexeme COLLATE "C";
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        $statement$
        WITH wanted AS MATERIALIZED (
            SELECT
                lexeme,
                query_frequency,
                ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS term
            FROM unnest($1, $2) AS given (lexeme, query_frequency)
        ),
        any_of_them AS (
            SELECT string_agg(term::text, ' | ')::tsquery AS condition FROM wanted
        )
        SELECT wanted.lexeme, wanted.query_frequency, count(*), wanted.term
        FROM rankgres.%I AS chunk
        JOIN wanted ON chunk.lexemes @@ wanted.term
        WHERE chunk.lexemes @@ (SELECT condition FROM any_of_them)
        GROUP BY wanted.lexeme, wanted.query_frequency, wanted.term
        ORDER BY count(*), wanted.lexeme COLLATE "C"
        $statement$,
        'chunk_' || searched_generation
    ) USING lexemes, frequencies;
END
$_$;

CREATE FUNCTION rankgres.query_match_v1(match text, clause_count integer) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    wanted numeric;
BEGIN
    IF match IS NULL OR match !~ '^(any|all|\d{1,6}|\d{1,3}%)$' THEN
        RAISE EXCEPTION 'match "%" is not understood', coalesce(match, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'match',
                HINT = 'use any, all, a number of words such as 3, or a share such as 75%';
    END IF;
    wanted := CASE
        WHEN match = 'any' THEN 1
        WHEN match = 'all' THEN clause_count
        WHEN match LIKE '%\%' THEN floor(clause_count * rtrim(match, '%')::numeric / 100)
        ELSE match::numeric
    END;
    RETURN greatest(1, least(wanted, clause_count));
END
$_$;

CREATE FUNCTION rankgres.query_parse_v1(searched_generation bigint, query text, language text DEFAULT NULL::text) RETURNS rankgres.parsed_query
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    max_characters constant integer := 65536;
    max_conditions constant integer := 255;
    max_words_around_phrases constant integer := 8;
    configs text [] := rankgres.generation_configs_v1(searched_generation, language);
    -- Every word that scores, and the clause that it is an alternative of; NULL: a phrase's word.
    words text [];
    clause_numbers bigint [];
    phrases tsquery [];
    parsed rankgres.parsed_query;
BEGIN
    query := left(query, max_characters);
    IF query ~ '["“”„]'
        AND regexp_count(regexp_replace(query, '["“”„][^"“”„]*["“”„]', ' ', 'g'), '\S+')
            > max_words_around_phrases
        AND query !~ '(^|\s)-[^\s-]|(heading|title|text):\S|\sOR\s'
    THEN
        query := rankgres.query_unquoted_v1(query);
    END IF;
    IF query !~ '["\u201c-\u201e\u00a0\u3000]|(?:^|\s)-|\mOR\M'
        AND query !~* '(?:heading|title|text):'
    THEN
        words := string_to_array(
            rankgres.query_words_v1(rankgres.query_unexcluded_v1(query)), ' '
        );
        SELECT array_agg(place) INTO clause_numbers
        FROM generate_series(1, cardinality(words)) AS place;
    ELSE
        WITH token AS MATERIALIZED (
            SELECT
                token.*,
                NOT token.excluded AND bool_or(token.quoted OR token.field IS NOT NULL)
                    OVER (PARTITION BY token.clause) AS required,
                count(*) OVER (PARTITION BY token.clause) = 1 AS alone
            FROM rankgres.query_tokens_v1(query) AS token
        ),
        word AS (
            SELECT
                word.word,
                CASE
                    WHEN token.required THEN NULL
                    -- Of a script without blanks every pair of letters is a word.
                    WHEN token.alone THEN row_number() OVER ()
                    ELSE -token.clause
                END AS clause_number
            FROM token
            CROSS JOIN LATERAL
                string_to_table(rankgres.query_words_v1(token.words), ' ') AS word (word)
            WHERE NOT token.excluded
        ),
        term AS (
            SELECT
                asked.clause,
                asked.excluded,
                string_agg(found.phrase::text, '|') AS alternatives,
                bool_and(found.everywhere) AS everywhere
            FROM (
                SELECT * FROM token
                WHERE token.required OR token.excluded
                ORDER BY token.clause
                LIMIT max_conditions
            ) AS asked
            CROSS JOIN LATERAL rankgres.query_phrase_v1(
                configs,
                asked.words,
                CASE asked.field WHEN 'text' THEN 'D' WHEN 'heading' THEN 'A' WHEN 'title' THEN 'A'
                    ELSE '' END
            ) AS found
            GROUP BY asked.clause, asked.excluded
        )
        SELECT
            (SELECT array_agg(word.word) FROM word),
            (SELECT array_agg(word.clause_number) FROM word),
            array_agg(DISTINCT term.alternatives::tsquery) FILTER (WHERE NOT term.excluded),
            -- Under a configuration that leaves nothing of it, nothing can be asked.
            string_agg(
                DISTINCT CASE WHEN term.excluded THEN '!' ELSE '' END || '(' || term.alternatives || ')',
                '&'
            ) FILTER (WHERE term.excluded OR term.everywhere)::tsquery
        INTO words, clause_numbers, phrases, parsed.condition
        FROM term
        WHERE term.alternatives IS NOT NULL;
    END IF;

    -- Without a join: of 5,000 words it would be a slow one, in a plan made for any number.
    WITH word AS MATERIALIZED (
        SELECT
            word,
            CASE WHEN word ~ '[^-]-[^-]' THEN rankgres.query_unhyphenated_v1(word) ELSE word END
                AS unhyphenated,
            count(*) AS times,
            min(place) AS place,
            array_agg(clause) FILTER (WHERE clause IS NOT NULL) AS clauses
        FROM unnest(words, clause_numbers) WITH ORDINALITY AS said (word, clause, place)
        WHERE word <> ''
        GROUP BY word
    ),
    analysed AS MATERIALIZED (
        SELECT
            word.*,
            config.number,
            rankgres.lexemes_v1(config.name, word.word) AS lexemes,
            CASE WHEN word.unhyphenated <> word.word
                THEN rankgres.lexemes_v1(config.name, word.unhyphenated) END AS unhyphenated_lexemes
        FROM word
        CROSS JOIN unnest(configs) WITH ORDINALITY AS config (name, number)
    ),
    -- The configuration of the query's language, where stop words tell it.
    spoken AS (
        SELECT max(number) AS number
        FROM (
            SELECT number, rank() OVER (ORDER BY count(*) DESC) AS rank
            FROM (
                SELECT
                    number,
                    length(lexemes) = 0
                        AND max(length(lexemes)) OVER (PARTITION BY word) > 0 AS stop_word
                FROM analysed
                WHERE cardinality(configs) > 1
            ) AS compared
            WHERE stop_word
            GROUP BY number
            HAVING count(*) >= 2
        ) AS told
        WHERE rank = 1
        HAVING count(*) = 1
    ),
    weighed AS (
        SELECT
            analysed.*,
            bool_or(length(lexemes) = 0 AND number = (SELECT spoken.number FROM spoken))
                OVER (PARTITION BY word) IS TRUE AS of_no_weight
        FROM analysed
    ),
    counted AS (
        SELECT
            entry.lexeme,
            weighed.number,
            sum(weighed.times * cardinality(entry.positions)) AS frequency,
            min(weighed.place) AS place,
            bool_and(weighed.of_no_weight) AS of_no_weight
        FROM weighed CROSS JOIN LATERAL unnest(weighed.lexemes) AS entry
        GROUP BY entry.lexeme, weighed.number
    ),
    scored AS (
        SELECT
            lexeme,
            -- A tsvector keeps as many.
            least(max(frequency), 255)::integer AS frequency,
            min(place) AS place
        FROM counted
        WHERE NOT of_no_weight OR (SELECT bool_and(of_no_weight) FROM counted)
        GROUP BY lexeme
    ),
    slot AS (
        SELECT
            analysed.word,
            analysed.number,
            analysed.clauses,
            string_agg(
                '''' || replace(replace(entry.lexeme, '\', '\\'), '''', '''''') || '''', '|'
                ORDER BY entry.lexeme COLLATE "C"
            ) AS alternatives
        FROM analysed
        CROSS JOIN LATERAL
            unnest(coalesce(analysed.unhyphenated_lexemes, analysed.lexemes)) AS entry
        CROSS JOIN LATERAL unnest(entry.positions) AS "position"
        WHERE analysed.clauses IS NOT NULL
        GROUP BY analysed.word, analysed.number, analysed.clauses, "position"
    ),
    -- What one configuration leaves nothing of cannot be asked of its documents.
    term AS (
        SELECT clauses, string_agg(DISTINCT slots, '|') AS term
        FROM (
            SELECT
                word,
                clauses,
                '(' || string_agg(DISTINCT '(' || alternatives || ')', '&') || ')' AS slots
            FROM slot
            GROUP BY word, clauses, number
        ) AS in_one
        GROUP BY word, clauses
        HAVING count(*) = cardinality(configs)
    ),
    clause AS (
        SELECT string_agg(DISTINCT term.term, '|')::tsquery AS clause
        FROM term CROSS JOIN LATERAL unnest(term.clauses) AS member (clause)
        GROUP BY member.clause
        UNION
        SELECT unnest(phrases)
    )
    SELECT
        coalesce((SELECT array_agg(lexeme ORDER BY place, lexeme COLLATE "C") FROM scored), '{}'),
        coalesce((SELECT array_agg(frequency ORDER BY place, lexeme COLLATE "C") FROM scored), '{}'),
        coalesce((SELECT array_agg(clause ORDER BY clause) FROM clause), '{}')
    INTO parsed.lexemes, parsed.frequencies, parsed.clauses;
    RETURN parsed;
END
$$;

CREATE FUNCTION rankgres.query_phrase_v1(configs text[], words text, label text DEFAULT ''::text, OUT phrase tsquery, OUT everywhere boolean) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
BEGIN
    WITH entry AS (
        SELECT config.place AS config, entry.lexeme, "position"
        FROM unnest(configs) WITH ORDINALITY AS config (name, place)
        CROSS JOIN LATERAL unnest(
            rankgres.lexemes_v1(config.name, rankgres.query_unhyphenated_v1(words))
        ) AS entry
        CROSS JOIN LATERAL unnest(entry.positions) AS "position"
    ),
    -- What a dictionary gives for one word are alternatives.
    slot AS (
        SELECT
            config,
            "position",
            lag("position") OVER (PARTITION BY config ORDER BY "position") AS before,
            row_number() OVER (PARTITION BY config ORDER BY "position") AS place,
            '(' || string_agg(
                '''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || ''''
                    || coalesce(':' || nullif(label, ''), ''),
                '|' ORDER BY lexeme COLLATE "C"
            ) || ')' AS alternatives
        FROM entry
        GROUP BY config, "position"
    ),
    in_order AS (
        SELECT
            config,
            string_agg(
                coalesce('<' || ("position" - before) || '>', '') || alternatives,
                '' ORDER BY place
            ) AS slots
        FROM slot
        WHERE place <= 255
        GROUP BY config
    )
    SELECT
        string_agg(DISTINCT '(' || slots || ')', '|')::tsquery,
        count(*) = cardinality(configs)
    INTO phrase, everywhere
    FROM in_order;
END
$$;

CREATE FUNCTION rankgres.query_tokens_v1(query text) RETURNS TABLE(clause bigint, excluded boolean, field text, quoted boolean, words text)
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    WITH matched AS (
        SELECT
            found.place,
            found.part[1] IS NOT NULL AS excluded,
            lower(found.part[2]) AS field,
            found.part[3] IS NOT NULL AS quoted,
            coalesce(found.part[3], found.part[4]) AS words
        FROM regexp_matches(
            -- Typed quotes and blanks are those of the keyboard.
            translate(query, U&'\201C\201D\201E\00A0\3000', '"""  '),
            '((?<!\S)-(?!-))?(?:(heading|title|text):(?=[^\s]))?(?:"([^"]*)"|([^\s"]+"*))',
            'gi'
        ) WITH ORDINALITY AS found (part, place)
    ),
    operand AS (
        SELECT
            matched.*,
            matched.words = 'OR' AND NOT matched.quoted AND NOT matched.excluded
                AND matched.field IS NULL AS is_or
        FROM matched
    ),
    joined AS (
        SELECT
            operand.*,
            operand.is_or
                AND lag(NOT (operand.is_or OR operand.excluded), 1, false) OVER in_order
                AND lead(NOT (operand.is_or OR operand.excluded), 1, false) OVER in_order AS joins
        FROM operand
        WINDOW in_order AS (ORDER BY operand.place)
    ),
    numbered AS (
        SELECT
            joined.*,
            -- A token begins a clause unless OR stands before it.
            count(*) FILTER (WHERE NOT joined.joins AND NOT joined.follows) OVER (
                ORDER BY joined.place
            ) AS clause
        FROM (
            SELECT joined.*, lag(joined.joins, 1, false) OVER (ORDER BY joined.place) AS follows
            FROM joined
        ) AS joined
    )
    SELECT numbered.clause, numbered.excluded, numbered.field, numbered.quoted, numbered.words
    FROM numbered
    WHERE NOT numbered.joins
    ORDER BY numbered.place
$$;

CREATE FUNCTION rankgres.query_unexcluded_v1(query text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT CASE WHEN wanted.query ~ '\w' THEN wanted.query ELSE query_unexcluded_v1.query END
    FROM (
        SELECT regexp_replace(
            query_unexcluded_v1.query,
            '\m(?:excluding|not including|but not|except for|with the exception of)\s[^,;:.?!()\[\]]*',
            '',
            'gi'
        ) AS query
    ) AS wanted
$$;

CREATE FUNCTION rankgres.query_unhyphenated_v1(words text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
    SELECT CASE
        WHEN words !~ '[^\s-]-[^\s-]' THEN words
        WHEN words ~ '^[A-Za-z]+(?:-[A-Za-z]+)+$' THEN translate(words, '-', ' ')
        ELSE (
        SELECT string_agg(
            CASE
                -- The joined word, before its parts: numhword, asciihword, hword.
                WHEN tokid IN (15, 16, 17) THEN ''
                WHEN tokid = 12 AND token = '-' THEN ' '
                ELSE token
            END,
            '' ORDER BY place
        )
        FROM ts_parse('default', words) WITH ORDINALITY AS part (tokid, token, place)
        )
    END
$_$;

CREATE FUNCTION rankgres.query_unquoted_v1(query text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT regexp_replace(
        query,
        '(-(?:(?:heading|title|text):)?["“”„][^"“”„]*["“”„])|["“”„]([^"“”„]*)["“”„]',
        '\1 \2 ',
        'gi'
    )
$$;

CREATE FUNCTION rankgres.query_words_v1(content text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT regexp_replace(
        CASE WHEN octet_length(content) = length(content) THEN content
            ELSE rankgres.lexemes_words_v1(content, false) END,
        '\s+', ' ', 'g'
    )
$$;

CREATE FUNCTION rankgres.recency_parameters_v1(recency jsonb, moment timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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
$$;

CREATE FUNCTION rankgres.recency_v1(shape text, scales double precision, decay double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    -- Beyond e^-200 nothing is left; Postgres would come to call it an underflow.
    SELECT CASE shape
        WHEN 'linear' THEN CASE WHEN (1 - decay) * scales < 1 THEN 1 - (1 - decay) * scales
            WHEN scales IS NOT NULL THEN 0 END
        WHEN 'gauss' THEN CASE WHEN least(scales, 1e100) ^ 2 * ln(decay) > -200 AND scales IS NOT NULL
            THEN exp(least(scales, 1e100) ^ 2 * ln(decay)) WHEN scales IS NOT NULL THEN 0 END
        ELSE CASE WHEN scales * ln(decay) > -200 THEN exp(scales * ln(decay))
            WHEN scales IS NOT NULL THEN 0 END
    END
$$;

CREATE FUNCTION rankgres.resume(collection text) RETURNS void
    LANGUAGE sql
    AS $$
    SELECT rankgres.resume_v1(collection)
$$;

CREATE FUNCTION rankgres.resume_v1(resumed_collection text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    UPDATE rankgres.collection SET paused_at = NULL
    WHERE id = rankgres.source_authorize_v1(resumed_collection);
END
$$;

CREATE FUNCTION rankgres.retry(collection text, document_ids text[] DEFAULT NULL::text[]) RETURNS bigint
    LANGUAGE sql
    AS $$
    SELECT rankgres.retry_v1(collection, document_ids)
$$;

CREATE FUNCTION rankgres.retry_v1(collection text, document_ids text[] DEFAULT NULL::text[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    steered constant bigint := rankgres.source_authorize_v1(retry_v1.collection);
    retried bigint;
    retried_generation bigint;
BEGIN
    WITH failed AS (
        SELECT outbox.generation_id, outbox.document_id
        FROM rankgres.outbox
        JOIN rankgres.generation ON generation.id = outbox.generation_id
        WHERE generation.collection_id = steered
            -- The key of a longer one fits no index of chunks.
            AND octet_length(outbox.document_id) <= 1024
            AND CASE
                WHEN retry_v1.document_ids IS NULL THEN outbox.dead_at IS NOT NULL
                ELSE outbox.document_id = ANY (retry_v1.document_ids)
                    AND outbox.last_error IS NOT NULL
                    AND (outbox.lease IS NULL OR outbox.due_at <= clock_timestamp())
            END
        ORDER BY outbox.generation_id, outbox.document_id
        FOR UPDATE OF outbox
    ),
    revived AS (
        UPDATE rankgres.outbox SET
            version = nextval('rankgres.outbox_version'),
            due_at = clock_timestamp(),
            lease = NULL,
            attempts = 0,
            last_error = NULL,
            dead_at = NULL,
            priority = CASE WHEN retry_v1.document_ids IS NULL THEN 1 ELSE 0 END
        FROM failed
        WHERE outbox.generation_id = failed.generation_id
            AND outbox.document_id = failed.document_id
        RETURNING outbox.document_id
    )
    SELECT count(DISTINCT revived.document_id) INTO retried FROM revived;
    FOR retried_generation IN
        SELECT id FROM rankgres.generation WHERE collection_id = steered AND retried > 0
    LOOP
        PERFORM pg_notify('rankgres_outbox', retried_generation::text);
    END LOOP;
    RETURN retried;
END
$$;

CREATE FUNCTION rankgres.score_lexical_v1(scored_generation bigint, parsed rankgres.parsed_query, chunks rankgres.ranked_chunk[], heading_weight double precision) RETURNS SETOF rankgres.ranked_chunk
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    generation rankgres.generation;
    statistics record;
    term record;
BEGIN
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = scored_generation;
    SELECT * INTO statistics FROM rankgres.lexical_statistics_v1(scored_generation);
    SELECT * INTO term
    FROM rankgres.lexical_terms_v1(scored_generation, parsed, statistics.chunk_total);
    IF term.terms IS NULL OR chunks = '{}' THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        $statement$
        SELECT document_id, position, %3$s, NULL::bigint, 1::bigint
        FROM (
            SELECT
                chunk.document_id,
                chunk.position,
                chunk.lexemes,
                greatest($4 * (1 - $5 + $5 * chunk.lexical_length / $3), 1e-9) AS saturation
            FROM unnest($7) AS given
            JOIN rankgres.%1$I AS chunk ON
                chunk.generation_id = %2$L
                AND chunk.document_id = given.document_id
                AND chunk.position = given.position
            OFFSET 0
        ) AS measured
        $statement$,
        'chunk_' || scored_generation,
        scored_generation,
        rankgres.lexical_score_v1(cardinality(term.terms), heading_weight <> 1)
    )
    USING
        term.terms, term.weights, statistics.mean_length, generation.bm25_k1, generation.bm25_b,
        heading_weight, chunks;
END
$_$;

CREATE FUNCTION rankgres.score_scale_v1(ranked rankgres.ranked_chunk[], stage text, fusion text) RETURNS TABLE(document_id text, "position" integer, score double precision, rank bigint, passage bigint, scaled double precision, missing double precision)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    WITH bounded AS (
        SELECT
            chunk.*,
            CASE
                WHEN abs(chunk.score) >= 1e-50 THEN least(1e50, greatest(-1e50, chunk.score))
                ELSE 0
            END AS value
        FROM unnest(ranked) AS chunk
    ),
    spread AS (
        SELECT
            least_value,
            greatest_value,
            mean,
            of_all,
            of_sample,
            -- Rounding tells equals apart by less than this.
            greatest_value - least_value
                <= 1e-12 * greatest(abs(least_value), abs(greatest_value)) AS flat,
            least_value - (greatest_value - least_value) / greatest(documents - 1, 1) AS floor
        FROM (
            SELECT
                count(*) AS documents,
                min(value) AS least_value,
                max(value) AS greatest_value,
                avg(value) AS mean,
                stddev_pop(value) AS of_all,
                stddev_samp(value) AS of_sample
            FROM bounded
            WHERE passage = 1
        ) AS best
    )
    SELECT
        document_id,
        position,
        score,
        rank,
        passage,
        CASE
            WHEN fusion = 'theoretical' AND greatest_value > 0 THEN value / greatest_value
            WHEN flat THEN CASE fusion WHEN 'zscore' THEN 0 WHEN 'distribution' THEN 0.5 ELSE 1 END
            WHEN fusion = 'convex' THEN (value - floor) / (greatest_value - floor)
            WHEN fusion = 'zscore' THEN (value - mean) / of_all
            WHEN fusion = 'distribution' THEN 0.5 + (value - mean) / (6 * of_sample)
            ELSE (value - least_value) / (greatest_value - least_value)
        END,
        CASE
            WHEN flat THEN CASE fusion WHEN 'zscore' THEN -1 ELSE 0 END
            WHEN fusion = 'theoretical' AND stage = 'vector' AND greatest_value > 0
                THEN greatest(floor, least(0, least_value)) / greatest_value
            WHEN fusion = 'zscore' THEN (floor - mean) / of_all
            WHEN fusion = 'distribution' THEN least(0, 0.5 + (floor - mean) / (6 * of_sample))
            ELSE 0
        END
    FROM bounded CROSS JOIN spread
$$;

CREATE FUNCTION rankgres.score_unlisted_v1(ranked rankgres.ranked_chunk[], other rankgres.ranked_chunk[]) RETURNS rankgres.ranked_chunk[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT coalesce(array_agg(ROW(chunk.*)::rankgres.ranked_chunk), '{}')
    FROM unnest(ranked) AS chunk
    WHERE chunk.passage = 1
        AND chunk.document_id NOT IN (SELECT listed.document_id FROM unnest(other) AS listed)
$$;

CREATE FUNCTION rankgres.score_vector_v1(scored_generation bigint, query_embedding public.vector, chunks rankgres.ranked_chunk[]) RETURNS SETOF rankgres.ranked_chunk
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    generation rankgres.generation;
BEGIN
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = scored_generation;
    RETURN QUERY EXECUTE format(
        $statement$
        SELECT
            document_id,
            position,
            -- An embedding of zeros has no direction: least() turns its NaN into 2.
            CASE %4$L WHEN 'cosine' THEN 1 - least(distance, 2) ELSE -distance END,
            NULL::bigint,
            1::bigint
        FROM (
            SELECT chunk.document_id, chunk.position, %3$s AS distance
            FROM unnest($2) AS given
            JOIN (
                SELECT *
                FROM rankgres.%1$I
                WHERE generation_id = %2$L
            ) AS chunk USING (document_id, position)
        ) AS measured
        $statement$,
        'chunk_' || scored_generation,
        scored_generation,
        rankgres.generation_distance_v1(generation, '$1'),
        generation.distance
    )
    USING query_embedding, chunks;
END
$_$;

CREATE FUNCTION rankgres.search_candidates(collection text, query text DEFAULT ''::text, query_embedding public.vector DEFAULT NULL::public.vector, candidates integer DEFAULT NULL::integer, filter jsonb DEFAULT NULL::jsonb, mode text DEFAULT 'hybrid'::text, fusion text DEFAULT NULL::text, lexical_weight double precision DEFAULT NULL::double precision, rrf_k integer DEFAULT NULL::integer, stage_candidates integer DEFAULT NULL::integer, passages integer DEFAULT 1, posting_budget integer DEFAULT NULL::integer, ef_search integer DEFAULT NULL::integer, match text DEFAULT NULL::text, language text DEFAULT NULL::text, correct boolean DEFAULT NULL::boolean, heading_weight double precision DEFAULT NULL::double precision, min_lexical_score double precision DEFAULT NULL::double precision, min_vector_score double precision DEFAULT NULL::double precision, min_score double precision DEFAULT NULL::double precision, autocut integer DEFAULT NULL::integer, recency jsonb DEFAULT NULL::jsonb, boosts jsonb DEFAULT NULL::jsonb, diversity double precision DEFAULT NULL::double precision, deadline_ms integer DEFAULT NULL::integer) RETURNS TABLE(rank bigint, passage bigint, document_id text, "position" integer, heading text, text text, start_offset integer, end_offset integer, metadata jsonb, score double precision, lexical_rank bigint, lexical_score double precision, vector_rank bigint, vector_score double precision)
    LANGUAGE sql
    AS $$
    SELECT * FROM rankgres.search_candidates_v2(
        collection, query, query_embedding, filter, mode, passages, language,
        pg_catalog.jsonb_build_object(
            'candidates', candidates,
            'fusion', fusion,
            'lexical_weight', lexical_weight,
            'rrf_k', rrf_k,
            'stage_candidates', stage_candidates,
            'posting_budget', posting_budget,
            'ef_search', ef_search,
            'match', match,
            'correct', correct,
            'heading_weight', heading_weight,
            'min_lexical_score', min_lexical_score,
            'min_vector_score', min_vector_score,
            'min_score', min_score,
            'autocut', autocut,
            'recency', recency,
            'boosts', boosts,
            'diversity', diversity,
            'deadline_ms', deadline_ms
        )
    )
$$;

CREATE FUNCTION rankgres.search_candidates_v2(collection text, query text, query_embedding public.vector, filter jsonb, mode text, passages integer, language text, given jsonb) RETURNS TABLE(rank bigint, passage bigint, document_id text, "position" integer, heading text, text text, start_offset integer, end_offset integer, metadata jsonb, score double precision, lexical_rank bigint, lexical_score double precision, vector_rank bigint, vector_score double precision)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
#variable_conflict use_column
DECLARE
    started constant timestamptz := clock_timestamp();
    stage_started timestamptz;
    lexical_done timestamptz;
    vector_done timestamptz;
    fused_at timestamptz;
    generation rankgres.generation;
    profile jsonb;
    stage_size integer;
    wanted integer;
    weight double precision;
    parsed rankgres.parsed_query;
    mended record;
    relaxed boolean := false;
    without_phrases text;
    corrections jsonb;
    condition jsonpath;
    lexical rankgres.ranked_chunk [] := '{}';
    nearest rankgres.ranked_chunk [] := '{}';
    only_lexical rankgres.ranked_chunk [];
    only_nearest rankgres.ranked_chunk [];
    vector_explain jsonb;
    documents rankgres.fused_document [];
BEGIN
    IF mode IS NULL OR mode NOT IN ('lexical', 'vector', 'hybrid') THEN
        RAISE EXCEPTION 'mode "%" is not known', mode
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'mode',
                HINT = 'use lexical, vector or hybrid';
    ELSIF mode <> 'lexical' AND query_embedding IS NULL THEN
        RAISE EXCEPTION 'mode "%" needs query_embedding', mode
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'query_embedding',
                HINT = 'pass it, or mode => ''lexical''';
    ELSIF passages IS NULL OR passages < 1 THEN
        RAISE EXCEPTION 'passages is %', coalesce(passages::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'passages', HINT = 'use 1 or more';
    END IF;
    SELECT found.* INTO generation
    FROM rankgres.generation AS found
    JOIN rankgres.collection AS owner ON owner.id = found.collection_id
    WHERE owner.name = search_candidates_v2.collection AND found.state = 'active';
    BEGIN
        -- Held to the transaction's end, so that no stage finds its table dropped. No id is 0.
        EXECUTE format(
            'LOCK TABLE rankgres.%I IN ACCESS SHARE MODE',
            'chunk_' || coalesce(generation.id, 0)
        );
    EXCEPTION WHEN undefined_table THEN
        RAISE EXCEPTION 'collection "%" does not exist', collection
            USING ERRCODE = 'undefined_object', COLUMN = 'collection',
                HINT = 'SELECT name FROM rankgres.collection';
    END;
    profile := rankgres.search_profile_v1(
        (
            SELECT owner.search_profile FROM rankgres.collection AS owner
            WHERE owner.id = generation.collection_id
        ),
        given
    );
    wanted := (profile ->> 'candidates')::integer;
    stage_size := greatest((profile ->> 'stage_candidates')::integer, wanted);
    weight := CASE mode WHEN 'lexical' THEN 1 WHEN 'vector' THEN 0
        ELSE (profile ->> 'lexical_weight')::double precision END;
    language := coalesce(language, profile ->> 'language');
    condition := rankgres.filter_to_jsonpath_v2(generation.id, filter);
    LOOP
        parsed := rankgres.query_parse_v1(generation.id, coalesce(query, ''), language);
        IF (profile ->> 'correct')::boolean THEN
            SELECT * INTO mended FROM rankgres.query_correct_v1(generation.id, parsed);
            parsed := mended.corrected;
            corrections := mended.corrections;
        END IF;

        stage_started := clock_timestamp();
        IF mode <> 'vector' THEN
            EXECUTE format(
                'SELECT ARRAY(
                    SELECT ROW(hit.*)::rankgres.ranked_chunk
                    FROM rankgres.%I($1, $2, $3, $4, $5, $6, $7, $8) AS hit
                )',
                CASE generation.lexical_index
                    WHEN 'pg_textsearch' THEN 'search_textsearch_v1' ELSE 'search_lexical_v2'
                END
            )
            INTO lexical
            USING
                generation.id, parsed, stage_size, passages, condition,
                (profile ->> 'posting_budget')::integer, profile ->> 'match',
                (profile ->> 'heading_weight')::double precision;
            IF profile ? 'min_lexical_score' THEN
                lexical := ARRAY(
                    SELECT ROW(hit.*)::rankgres.ranked_chunk
                    FROM unnest(lexical) AS hit
                    WHERE hit.score >= (profile ->> 'min_lexical_score')::double precision
                );
            END IF;
        END IF;
        lexical_done := clock_timestamp();
        IF mode <> 'lexical' THEN
            nearest := ARRAY(
                SELECT ROW(hit.*)::rankgres.ranked_chunk
                FROM rankgres.search_vector_v2(
                    generation.id, query_embedding, stage_size, passages, condition, parsed.condition,
                    (profile ->> 'ef_search')::integer,
                    started + (profile ->> 'deadline_ms')::double precision * interval '1 ms'
                ) AS hit
                WHERE NOT profile ? 'min_vector_score'
                    OR hit.score >= (profile ->> 'min_vector_score')::double precision
            );
            vector_explain := current_setting('rankgres.vector_explain')::jsonb;
        END IF;
        vector_done := clock_timestamp();
        EXIT WHEN relaxed OR lexical <> '{}' OR nearest <> '{}';
        -- A quoted phrase that stands nowhere is a worse answer than its words.
        without_phrases := rankgres.query_unquoted_v1(query);
        EXIT WHEN replace(without_phrases, ' ', '') IS NOT DISTINCT FROM replace(query, ' ', '');
        relaxed := true;
        query := without_phrases;
    END LOOP;

    IF mode = 'hybrid' AND profile ->> 'fusion' = 'theoretical' THEN
        only_lexical := rankgres.score_unlisted_v1(lexical, nearest);
        only_nearest := rankgres.score_unlisted_v1(nearest, lexical);
        lexical := lexical || ARRAY(
            SELECT ROW(scored.*)::rankgres.ranked_chunk
            FROM rankgres.score_lexical_v1(
                generation.id, parsed, only_nearest, (profile ->> 'heading_weight')::double precision
            ) AS scored
        );
        nearest := nearest || ARRAY(
            SELECT ROW(scored.*)::rankgres.ranked_chunk
            FROM rankgres.score_vector_v1(generation.id, query_embedding, only_lexical) AS scored
        );
    END IF;
    documents := ARRAY(
        SELECT ROW(fused.*)::rankgres.fused_document
        FROM rankgres.fuse_v1(
            lexical, nearest, profile ->> 'fusion', weight, (profile ->> 'rrf_k')::integer
        ) AS fused
    );
    fused_at := clock_timestamp();

    documents := rankgres.search_shape_v1(generation.id, documents, profile);
    RETURN QUERY EXECUTE format(
        $statement$
        WITH ranked AS (
            SELECT * FROM unnest($1) WITH ORDINALITY AS document (
                document_id, score, lexical_rank, lexical_score, vector_rank, vector_score, shown, rank
            )
        ),
        passage AS (
            SELECT
                ranked.*,
                listed.position,
                row_number() OVER (
                    PARTITION BY ranked.rank
                    ORDER BY
                        listed.position <> ranked.shown,
                        listed.best_passage,
                        listed.position
                ) AS passage
            FROM ranked
            JOIN (
                SELECT document_id, position, min(passage) AS best_passage
                FROM (SELECT * FROM unnest($2) UNION ALL SELECT * FROM unnest($3)) AS either
                GROUP BY document_id, position
            ) AS listed USING (document_id)
        )
        SELECT
            passage.rank, passage.passage, chunk.document_id, chunk.position, chunk.heading, chunk.text,
            chunk.start_offset, chunk.end_offset, chunk.filters, passage.score,
            passage.lexical_rank, passage.lexical_score, passage.vector_rank, passage.vector_score
        FROM passage
        JOIN rankgres.%1$I AS chunk ON
            chunk.generation_id = %2$L
            AND chunk.document_id = passage.document_id
            AND chunk.position = passage.position
        WHERE passage.passage <= $4
        ORDER BY passage.rank, passage.passage
        $statement$,
        'chunk_' || generation.id,
        generation.id
    )
    USING documents, lexical, nearest, passages;

    PERFORM set_config(
        'rankgres.explain',
        jsonb_build_object(
            'generation', generation.id,
            'complete', coalesce((vector_explain ->> 'complete')::boolean, true),
            'reason', vector_explain ->> 'reason',
            'fusion', CASE mode WHEN 'hybrid' THEN profile ->> 'fusion' END,
            'lexical_weight', CASE mode WHEN 'hybrid' THEN weight END,
            'corrections', coalesce(corrections, '{}'),
            'relaxed', relaxed,
            'parse_ms', rankgres.milliseconds_v1(started, stage_started),
            'lexical', CASE WHEN mode <> 'vector'
                THEN current_setting('rankgres.lexical_explain')::jsonb END,
            'vector', vector_explain,
            'lexical_ms', rankgres.milliseconds_v1(stage_started, lexical_done),
            'vector_ms', rankgres.milliseconds_v1(lexical_done, vector_done),
            'fusion_ms', rankgres.milliseconds_v1(vector_done, fused_at),
            'shaping_ms', rankgres.milliseconds_v1(fused_at, clock_timestamp())
        )::text,
        true
    );
END
$_$;

CREATE FUNCTION rankgres.search_lexical_v2(searched_generation bigint, parsed rankgres.parsed_query, candidates integer, passages integer DEFAULT 1, filter jsonpath DEFAULT NULL::jsonpath, posting_budget integer DEFAULT 10000, match text DEFAULT 'any'::text, heading_weight double precision DEFAULT 1) RETURNS TABLE(document_id text, "position" integer, score double precision, rank bigint, passage bigint)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
#variable_conflict use_column
DECLARE
    -- Measured at 1,000,000 chunks: fewer cost overlap with the exact list, more cost time alone.
    scored_per_candidate constant integer := 7;
    -- The rarest terms choose chunks, all terms score them.
    choosing_terms constant integer := 8;
    generation rankgres.generation;
    statistics record;
    term record;
    clauses_wanted integer := rankgres.query_match_v1(match, cardinality(parsed.clauses));
    condition tsquery := parsed.condition;
    restricted boolean;
    share double precision := 1;
    plan text := 'rungs';
    statement text;
    rung record;
    pool tsquery [];
    pool_condition text := 'lexemes @@ ($9)[%s]';
    taken record;
    found record;
    -- Chunks that the next rung is to have, and how many there were for one expected.
    needed double precision := 0;
    surprise double precision := 1;
    enough boolean := false;
    budget_spent boolean;
    exact boolean;
    settings_before jsonb;
BEGIN
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = searched_generation;
    SELECT * INTO statistics FROM rankgres.lexical_statistics_v1(searched_generation);
    SELECT * INTO term
    FROM rankgres.lexical_terms_v1(searched_generation, parsed, statistics.chunk_total);
    IF term.terms IS NULL THEN
        PERFORM set_config(
            'rankgres.lexical_explain',
            '{"plan": "nothing", "terms": 0, "scored": 0, "exact": true, "bounded": false}',
            true
        );
        RETURN;
    END IF;
    IF clauses_wanted > 1 THEN
        -- Whoever has enough of the clauses has one of any as many as may be missing and one more.
        SELECT coalesce(condition && needed.clauses, needed.clauses) INTO condition
        FROM (
            SELECT string_agg(
                '(' || clause::text || ')',
                CASE clauses_wanted WHEN cardinality(parsed.clauses) THEN '&' ELSE '|' END
            )::tsquery AS clauses
            FROM unnest(parsed.clauses) WITH ORDINALITY AS listed (clause, place)
            WHERE clauses_wanted = cardinality(parsed.clauses)
                OR place <= cardinality(parsed.clauses) - clauses_wanted + 1
        ) AS needed;
    END IF;
    restricted := filter IS NOT NULL OR condition IS NOT NULL;

    IF (SELECT sum(count) FROM unnest(term.counts) AS count) <= posting_budget THEN
        plan := 'complete';
    ELSIF restricted THEN
        share := (rankgres.chunk_selectivity_v1(searched_generation, filter, condition)).selectivity;
        IF share * statistics.chunk_total <= posting_budget THEN
            plan := 'filtered';
        END IF;
    END IF;
    -- $1 to $6 as lexical_score says, $3 mean length, $5 b; $7 filter, $8 condition, $9 pool, $10 the
    -- most chunks to score, $11 clauses, $12 clauses wanted, $13 documents wanted
    statement := format(
        $statement$
        WITH scored AS MATERIALIZED (
            SELECT document_id, position, %2$s AS matched, %3$s AS score
            FROM (
                SELECT
                    document_id,
                    position,
                    lexemes,
                    -- Above 0 also for k1 = 0, where a term's frequency does not count.
                    greatest($4 * (1 - $5 + $5 * lexical_length / $3), 1e-9) AS saturation
                FROM rankgres.%1$I
                WHERE (%%s) %4$s
                -- Also keeps the saturation from being computed once more in every summand.
                LIMIT $10 OFFSET 0
            ) AS chunk
        ),
        best AS MATERIALIZED (
            SELECT document_id, max(score) AS score
            FROM scored
            WHERE matched
            GROUP BY document_id
            ORDER BY 2 DESC, document_id COLLATE "C"
            LIMIT $13
        )
        SELECT
            (SELECT count(*) FROM scored) AS scored,
            (SELECT count(*) FROM best) AS documents,
            (SELECT min(score) FROM best) AS last_score,
            array_agg(scored.document_id) AS document_ids,
            array_agg(scored.position) AS positions,
            array_agg(scored.score) AS scores
        FROM best JOIN scored USING (document_id)
        WHERE scored.matched
        $statement$,
        'chunk_' || searched_generation,
        CASE WHEN clauses_wanted > 1
            THEN '(SELECT count(*) FROM unnest($11) AS clause WHERE lexemes @@ clause) >= $12'
            ELSE 'true' END,
        rankgres.lexical_score_v1(cardinality(term.terms), heading_weight <> 1),
        concat(
            CASE
                -- A filter that many satisfy is looked at chunk by chunk, not through its index.
                WHEN filter IS NOT NULL AND plan = 'rungs' THEN ' AND (filters @@ $7) IS TRUE'
                WHEN filter IS NOT NULL THEN ' AND filters @@ $7'
            END,
            CASE WHEN condition IS NOT NULL THEN ' AND lexemes @@ $8' END
        )
    );
    IF plan = 'filtered' AND filter IS NOT NULL THEN
        -- The postings of all terms would be read to look at the few chunks that the filter leaves.
        pool_condition := '(lexemes @@ ($9)[%s]) IS TRUE';
    END IF;
    SELECT jsonb_object_agg(name, current_setting(name)) INTO settings_before
    FROM unnest('{enable_seqscan,jit}'::text []) AS name;
    PERFORM
        -- Costs of tsvectors are high enough to compile statements that take milliseconds.
        set_config('jit', 'off', true),
        -- A limit makes reading the table look cheap, as if what matches stood everywhere in it.
        set_config(
            'enable_seqscan',
            CASE plan WHEN 'rungs' THEN 'off' ELSE settings_before ->> 'enable_seqscan' END,
            true
        );
    FOR rung IN
        SELECT each.threshold, each.unseen + others.promised AS unseen, each.expected
        FROM rankgres.lexical_rungs_v1(
            term.weights[:choosing_terms], term.counts[:choosing_terms], statistics.chunk_total,
            greatest(100, scored_per_candidate * candidates) / share
        ) AS each
        CROSS JOIN (
            SELECT coalesce(sum(weight), 0) AS promised
            FROM unnest(term.weights[choosing_terms + 1:]) AS weight
        ) AS others
        WHERE plan = 'rungs'
        UNION ALL
        -- The last has any of the terms.
        SELECT NULL, 0, statistics.chunk_total
        ORDER BY 3
    LOOP
        -- Terms do not stand independently of each other: the last rung tells how far off that was.
        CONTINUE WHEN rung.expected * surprise < needed AND rung.expected < statistics.chunk_total;
        -- Of a rung beyond the budget a part would be taken, and not the best: no match for what is found.
        EXIT WHEN enough AND rung.expected * surprise > posting_budget;
        IF rung.threshold IS NULL THEN
            pool := ARRAY(SELECT string_agg(one::text, '|')::tsquery FROM unnest(term.terms) AS one);
        ELSE
            pool := rankgres.lexical_promise_v1(
                term.terms[:choosing_terms], term.weights[:choosing_terms], rung.threshold
            );
        END IF;
        EXECUTE format(
            statement,
            (
                SELECT string_agg(format(pool_condition, place), ' OR ')
                FROM generate_series(1, cardinality(pool)) AS place
            )
        )
        INTO taken
        USING
            term.terms, term.weights, statistics.mean_length, generation.bm25_k1, generation.bm25_b,
            heading_weight, filter, condition, pool,
            CASE plan WHEN 'rungs' THEN posting_budget END, parsed.clauses, clauses_wanted, candidates;
        budget_spent := plan = 'rungs' AND taken.scored >= posting_budget;
        IF budget_spent AND needed > 0 THEN
            -- Of this rung a part was taken, and not the best: what was above it stays.
            SELECT
                found.scored + taken.scored AS scored,
                found.documents + taken.documents AS documents,
                0 AS last_score,
                array_agg(document_id) AS document_ids,
                array_agg(position) AS positions,
                array_agg(score) AS scores
            INTO found
            FROM (
                SELECT *
                FROM unnest(found.document_ids, found.positions, found.scores)
                    AS before (document_id, position, score)
                UNION
                SELECT *
                FROM unnest(taken.document_ids, taken.positions, taken.scores)
                    AS now (document_id, position, score)
            ) AS chunk;
        ELSE
            found := taken;
        END IF;
        exact := NOT term.cut AND NOT budget_spent AND (
            rung.unseen = 0
            OR (found.documents = candidates
                AND found.last_score >= (generation.bm25_k1 + 1) * rung.unseen)
        );
        enough := found.documents >= candidates;
        EXIT WHEN exact OR budget_spent
            OR (enough AND found.scored >= scored_per_candidate * candidates);
        surprise := greatest(found.scored, 1) / rung.expected;
        needed := scored_per_candidate * candidates;
    END LOOP;
    PERFORM set_config(key, value, true) FROM jsonb_each_text(settings_before);
    PERFORM set_config(
        'rankgres.lexical_explain',
        jsonb_build_object(
            'plan', plan,
            'terms', cardinality(term.terms),
            'scored', found.scored,
            'exact', exact,
            'bounded', NOT exact
        )::text,
        true
    );

    RETURN QUERY
    WITH placed AS (
        SELECT
            chunk.*,
            row_number() OVER (PARTITION BY document_id ORDER BY score DESC, position) AS passage
        FROM unnest(found.document_ids, found.positions, found.scores)
            AS chunk (document_id, position, score)
    ),
    best AS (
        SELECT
            document_id,
            row_number() OVER (ORDER BY score DESC, document_id COLLATE "C") AS rank
        FROM placed
        WHERE passage = 1
        ORDER BY rank
        LIMIT candidates
    )
    SELECT document_id, position, score, rank, passage
    FROM placed JOIN best USING (document_id)
    WHERE passage <= passages
    ORDER BY rank, passage;
END
$_$;

CREATE FUNCTION rankgres.search_profile_v1(profile jsonb, given jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    defaults constant jsonb := jsonb_build_object(
        'candidates', 100,
        'fusion', 'theoretical',
        'lexical_weight', 0.5,
        'rrf_k', 60,
        'stage_candidates', 100,
        'posting_budget', 10000,
        'match', 'any',
        'correct', false,
        'heading_weight', 1,
        'autocut', 0,
        'diversity', 0
    );
    types constant jsonb := '{
        "fusion": "string", "match": "string", "language": "string", "correct": "boolean",
        "recency": "object", "boosts": "array",
        "min_lexical_score": "number", "min_vector_score": "number", "min_score": "number",
        "lexical_weight": "number", "heading_weight": "number", "diversity": "number",
        "candidates": "number", "rrf_k": "number", "stage_candidates": "number",
        "posting_budget": "number", "ef_search": "number", "autocut": "number",
        "deadline_ms": "number"
    }';
    -- The least and the most that a number may be; where both are written without a point it is whole.
    ranges constant jsonb := '{
        "lexical_weight": [0.0, 1.0], "heading_weight": [0.0, 1000.0], "diversity": [0.0, 1.0],
        "candidates": [1, 10000], "rrf_k": [1, 1000000], "stage_candidates": [1, 10000],
        "posting_budget": [1, 2000000000], "ef_search": [1, 1000], "autocut": [0, 1000],
        "deadline_ms": [1, 3600000]
    }';
    parameters constant jsonb := defaults || profile || jsonb_strip_nulls(given);
    parameter record;
BEGIN
    FOR parameter IN
        SELECT held.key AS name, held.value, types ->> held.key AS type, ranges -> held.key AS range
        FROM jsonb_each(parameters) AS held
        ORDER BY held.key
    LOOP
        IF parameter.type IS NULL THEN
            RAISE EXCEPTION 'a search has no parameter "%"', parameter.name
                USING ERRCODE = 'invalid_parameter_value', COLUMN = parameter.name,
                    HINT = 'use ' || (
                        SELECT string_agg(known, ', ' ORDER BY known)
                        FROM jsonb_object_keys(types) AS known
                    );
        END IF;
        CONTINUE WHEN jsonb_typeof(parameter.value) = parameter.type
            AND CASE
                WHEN parameter.range IS NULL THEN true
                ELSE parameter.value::numeric
                    BETWEEN (parameter.range -> 0)::numeric AND (parameter.range -> 1)::numeric
                    AND (parameter.range::text ~ '\.' OR parameter.value::numeric % 1 = 0)
            END;
        RAISE EXCEPTION '% is %', parameter.name, parameter.value
            USING ERRCODE = 'invalid_parameter_value', COLUMN = parameter.name,
                HINT = CASE
                    WHEN parameter.range IS NULL THEN format('use JSON of the type %s', parameter.type)
                    ELSE format(
                        'use %s to %s',
                        trim_scale((parameter.range -> 0)::numeric),
                        trim_scale((parameter.range -> 1)::numeric)
                    )
                END;
    END LOOP;
    RETURN parameters;
END
$$;

CREATE FUNCTION rankgres.search_shape_v1(shaped_generation bigint, documents rankgres.fused_document[], profile jsonb) RETURNS rankgres.fused_document[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    wanted integer := (profile ->> 'candidates')::integer;
    falls constant integer := (profile ->> 'autocut')::integer;
    metadata jsonb [];
    scores double precision [];
BEGIN
    IF profile ? 'recency' OR profile ? 'boosts' THEN
        EXECUTE format(
            'SELECT array_agg(chunk.filters ORDER BY place), array_agg(document.score ORDER BY place)
            FROM unnest($1) WITH ORDINALITY AS document (
                document_id, score, lexical_rank, lexical_score, vector_rank, vector_score, position, place
            )
            LEFT JOIN rankgres.%1$I AS chunk ON
                chunk.generation_id = %2$L
                AND chunk.document_id = document.document_id
                AND chunk.position = document.position',
            'chunk_' || shaped_generation,
            shaped_generation
        ) INTO metadata, scores USING documents;
        scores := rankgres.boost_scores_v1(
            scores, metadata, profile -> 'recency', profile -> 'boosts'
        );
        documents := ARRAY(
            SELECT ROW(
                document_id, boosted, lexical_rank, lexical_score, vector_rank, vector_score, position
            )::rankgres.fused_document
            FROM unnest(documents) WITH ORDINALITY AS document (
                document_id, score, lexical_rank, lexical_score, vector_rank, vector_score, position, place
            )
            JOIN unnest(scores) WITH ORDINALITY AS new (boosted, place) USING (place)
            ORDER BY boosted DESC, document_id COLLATE "C"
        );
    END IF;
    scores := ARRAY(
        SELECT score FROM unnest(documents) AS document
        WHERE NOT profile ? 'min_score' OR score >= (profile ->> 'min_score')::double precision
    );
    wanted := least(wanted, cardinality(scores));
    IF falls > 0 THEN
        wanted := least(wanted, rankgres.autocut_v1(scores, falls));
    END IF;
    documents := documents[:wanted];
    IF (profile ->> 'diversity')::double precision > 0 THEN
        documents := ARRAY(
            SELECT documents[chosen.candidate]
            FROM rankgres.diversify_v1(
                shaped_generation,
                ARRAY(SELECT document_id FROM unnest(documents) AS document),
                ARRAY(SELECT position FROM unnest(documents) AS document),
                scores[:wanted],
                (profile ->> 'diversity')::double precision
            ) AS chosen
            ORDER BY chosen.place
        );
    END IF;
    RETURN documents;
END
$_$;

CREATE FUNCTION rankgres.search_textsearch_v1(searched_generation bigint, parsed rankgres.parsed_query, candidates integer, passages integer DEFAULT 1, filter jsonpath DEFAULT NULL::jsonpath, posting_budget integer DEFAULT 10000, match text DEFAULT 'any'::text, heading_weight double precision DEFAULT 1) RETURNS TABLE(document_id text, "position" integer, score double precision, rank bigint, passage bigint)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
#variable_conflict use_column
DECLARE
    -- What chunk_textsearch holds while a transaction writes.
    writing constant bigint := hashtextextended('rankgres.textsearch', searched_generation);
    partition constant text := 'chunk_' || searched_generation;
    index_name constant text := format('rankgres.%s_textsearch', partition);
    extension_schema name;
    generation rankgres.generation;
    statistics record;
    term record;
    clauses_wanted integer := rankgres.query_match_v1(match, cardinality(parsed.clauses));
    words text;
    score_expression text;
    saturation constant text :=
        '$4 * (1 - $5 + $5 * lexical_length / $3) AS saturation';
    conditions text;
    -- Deeper than the rounding asks for: 1.0.0 leaves terms out of some scores where it skips blocks
    -- (its issue 365). With 500 fewer, up to 6 % of lists of ten differed in one place; now under 1 %.
    depth integer := 5 * least(candidates, posting_budget) + 1000;
    scanned integer;
    last_score double precision;
    document_ids text [];
    positions integer [];
    scores double precision [];
    -- Documents that match among what was scanned, and those that nothing deeper can be above.
    matched integer;
    certain integer;
    -- Why search_lexical has to answer.
    reason text;
    jit_before constant text := current_setting('jit');
BEGIN
    SELECT namespace.nspname INTO extension_schema
    FROM pg_extension AS extension
    JOIN pg_namespace AS namespace ON namespace.oid = extension.extnamespace
    WHERE extension.extname = 'pg_textsearch' AND to_regclass(index_name) IS NOT NULL;
    IF NOT FOUND THEN
        reason := 'there is no index of pg_textsearch';
    ELSIF heading_weight <> 1 THEN
        reason := 'pg_textsearch knows no heading_weight';
    ELSE
        SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = searched_generation;
        SELECT * INTO statistics FROM rankgres.lexical_statistics_v1(searched_generation);
        SELECT * INTO term
        FROM rankgres.lexical_terms_v1(searched_generation, parsed, statistics.chunk_total);
        SELECT string_agg(repeat(rankgres.textsearch_word_v1(wanted.lexeme) || ' ', frequency), '')
        INTO words
        FROM unnest(parsed.lexemes, parsed.frequencies) AS wanted (lexeme, frequency)
        JOIN unnest(term.terms) AS scoring
            -- As tsqueries are written out.
            ON scoring::text
                = '''' || replace(replace(wanted.lexeme, '\', '\\'), '''', '''''') || '''';
        IF words IS NULL THEN
            reason := 'no chunk has a lexeme of the query';
        ELSIF NOT pg_try_advisory_lock_shared(writing) THEN
            reason := 'a transaction is writing into the index of pg_textsearch';
        END IF;
    END IF;

    IF reason IS NULL THEN
        -- As lexical_score says, $3 mean length, $5 b; $7 words, $8 filter, $9 condition, $10 clauses,
        -- $11 clauses wanted, $12 depth
        score_expression := rankgres.lexical_score_v1(cardinality(term.terms), false);
        conditions := concat_ws(
            ' AND ',
            'score > 0',
            CASE WHEN filter IS NOT NULL THEN 'filters @@ $8' END,
            CASE WHEN parsed.condition IS NOT NULL THEN 'lexemes @@ $9' END,
            CASE WHEN clauses_wanted > 1
                THEN '(SELECT count(*) FROM unnest($10) AS clause WHERE lexemes @@ clause) >= $11' END
        );
        BEGIN
            PERFORM
                set_config('jit', 'off', true),
                -- The extension's planner hook finds a function of its own by the search path alone.
                -- The path is this function's, and is put back with it.
                set_config(
                    'search_path',
                    format('%s, %I', current_setting('search_path'), extension_schema),
                    true
                );
            LOOP
                depth := least(depth, posting_budget);
                EXECUTE format(
                    $statement$
                    SELECT
                        count(*) FILTER (WHERE score > 0),
                        (array_agg(score))[count(*)],
                        array_agg(document_id) FILTER (WHERE %5$s),
                        array_agg(position) FILTER (WHERE %5$s),
                        array_agg(score) FILTER (WHERE %5$s)
                    FROM (
                        SELECT document_id, position, filters, lexemes, %4$s AS score
                        FROM (
                            -- The distance is in the order alone: selected, it would be computed anew
                            -- from the text.
                            SELECT document_id, position, filters, lexemes, %6$s
                            FROM rankgres.%1$I
                            ORDER BY textsearch_words OPERATOR(%2$I.<@>) %2$I.to_bm25query($7, %3$L)
                            LIMIT $12
                        ) AS chunk
                    ) AS scored
                    $statement$,
                    partition,
                    extension_schema,
                    index_name,
                    score_expression,
                    conditions,
                    saturation
                )
                INTO scanned, last_score, document_ids, positions, scores
                USING
                    term.terms, term.weights, statistics.mean_length, generation.bm25_k1,
                    generation.bm25_b, heading_weight, words, filter, parsed.condition,
                    parsed.clauses, clauses_wanted, depth;
                SELECT
                    count(DISTINCT kept.document_id),
                    -- What was not returned scores in the index no more than the last chunk does, and
                    -- the index may have that one too high by an eighth.
                    count(DISTINCT kept.document_id) FILTER (
                        WHERE scanned < depth OR kept.score > last_score * 1.125
                    )
                INTO matched, certain
                FROM unnest(document_ids, scores) AS kept (document_id, score);
                EXIT WHEN certain >= candidates OR (depth = posting_budget AND matched >= candidates);
                IF scanned < depth THEN
                    reason := 'pg_textsearch was read to its end';
                ELSIF matched < candidates
                    -- Twice: how often the first chunks match says little of the next.
                    AND (depth = posting_budget
                        OR depth::bigint * candidates > 2::bigint * posting_budget * matched)
                THEN
                    reason := 'too little of what pg_textsearch returns matches';
                END IF;
                EXIT WHEN reason IS NOT NULL;
                depth := least(4::bigint * depth, posting_budget);
            END LOOP;
            PERFORM set_config('jit', jit_before, true);
        EXCEPTION WHEN query_canceled OR OTHERS THEN
            PERFORM pg_advisory_unlock_shared(writing);
            RAISE;
        END;
        PERFORM pg_advisory_unlock_shared(writing);
    END IF;

    IF reason IS NOT NULL THEN
        RETURN QUERY SELECT * FROM rankgres.search_lexical_v2(
            searched_generation, parsed, candidates, passages, filter, posting_budget, match,
            heading_weight
        );
        PERFORM set_config(
            'rankgres.lexical_explain',
            (
                current_setting('rankgres.lexical_explain')::jsonb
                || jsonb_build_object('reason', reason)
            )::text,
            true
        );
        RETURN;
    END IF;
    PERFORM set_config(
        'rankgres.lexical_explain',
        jsonb_build_object(
            'plan', 'pg_textsearch',
            'terms', cardinality(term.terms),
            'scored', scanned,
            -- As far as the index skips nothing that it should not.
            'exact', NOT term.cut AND certain >= candidates,
            'bounded', term.cut OR certain < candidates
        )::text,
        true
    );
    RETURN QUERY EXECUTE format(
        $statement$
        WITH scanned AS (
            -- Distinct: 1.0.0 returns some chunks twice from a deep scan.
            SELECT DISTINCT document_id, position, score
            FROM unnest($13, $14, $15) AS kept (document_id, position, score)
        ),
        best AS (
            SELECT
                document_id,
                row_number() OVER (ORDER BY max(score) DESC, document_id COLLATE "C") AS rank
            FROM scanned
            GROUP BY document_id
            ORDER BY rank
            LIMIT $16
        ),
        placed AS (
            SELECT
                *,
                row_number() OVER (PARTITION BY document_id ORDER BY score DESC, position) AS passage
            FROM (%s) AS chunk JOIN best USING (document_id)
        )
        SELECT document_id, position, score, rank, passage
        FROM placed
        WHERE passage <= $17
        ORDER BY rank, passage
        $statement$,
        CASE
            WHEN passages = 1 THEN 'SELECT * FROM scanned'
            -- All chunks of the best documents, also those that the scan did not come to.
            ELSE format(
                'SELECT document_id, position, score
                FROM (
                    SELECT document_id, position, filters, lexemes, %1$s AS score
                    FROM (
                        SELECT document_id, position, filters, lexemes, %2$s
                        FROM rankgres.%3$I
                        WHERE generation_id = %4$L AND document_id IN (SELECT document_id FROM best)
                        -- Keeps the saturation from being computed once more in every summand.
                        OFFSET 0
                    ) AS chunk
                ) AS scored
                WHERE %5$s',
                score_expression,
                saturation,
                partition,
                searched_generation,
                conditions
            )
        END
    ) USING
        term.terms, term.weights, statistics.mean_length, generation.bm25_k1, generation.bm25_b,
        heading_weight, words, filter, parsed.condition, parsed.clauses, clauses_wanted, depth,
        document_ids, positions, scores, candidates, passages;
END
$_$;

CREATE FUNCTION rankgres.search_vector_plan_v1(generation rankgres.generation, chunk_total bigint, chunks_wanted bigint, filter jsonpath, condition tsquery, given_ef_search integer, OUT plan text, OUT ef_search integer, OUT index_chunks bigint, OUT scan_tuples bigint, OUT selectivity double precision, OUT sampled bigint, OUT served boolean, OUT returned_ms double precision, OUT hnsw_ms double precision, OUT exact_ms double precision) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    -- The width of an unfiltered search by the number of chunks wanted. Measured at 200,000 chunks of
    -- 384 dimensions, m 16, 100 wanted: recall 0.970 at twice, 0.984 at three times as many; at
    -- 1,000,000, of mixed real embeddings: 0.948 at three times as many.
    ef_search_share constant double precision := 4;
    ef_search_least constant double precision := 200;
    -- Microseconds at 384 dimensions, measured there too: a chunk that the index returns, a node that
    -- it visits (about six for one returned), a chunk that a sequential scan looks at, a chunk fetched
    -- through a GIN index and measured. Only their ratios decide.
    returned_us constant double precision := 40;
    visited_us constant double precision := 7;
    scanned_us constant double precision := 2;
    fetched_us constant double precision := 5;
    restricted_risk constant double precision := 2;
    -- Distances are about half of it all.
    slower double precision := (1 + generation.embedding_dimension / 384.0) / 2 / 1000;
    restricted boolean := filter IS NOT NULL OR condition IS NOT NULL;
    -- Bits order coarsely: take more of them and order these by the real distance.
    oversampling integer := CASE generation.storage_type WHEN 'bit' THEN 4 ELSE 1 END;
    width double precision;
    share double precision := 1;
    bitmap_scan constant jsonpath := 'strict $.** ? (@."Node Type" == "Bitmap Index Scan")';
    path jsonb;
    used jsonb;
BEGIN
    width := coalesce(
        given_ef_search, greatest(ef_search_least, ef_search_share * oversampling * chunks_wanted)
    );
    exact_ms := slower * scanned_us * chunk_total;
    IF restricted AND (generation.hnsw_state <> 'ready' OR exact_ms > slower * returned_us * width) THEN
        SELECT estimate.selectivity, estimate.sampled INTO selectivity, sampled
        FROM rankgres.chunk_selectivity_v1(generation.id, filter, condition) AS estimate;
        share := selectivity;
        -- Whether a GIN index serves the filter, as it does equality, or would have to be read whole,
        -- as for ranges, is for the planner to say: by what reading it costs.
        EXECUTE 'EXPLAIN (FORMAT JSON) ' || rankgres.search_vector_statement_v1(
            generation, 'exact', filter IS NOT NULL, condition IS NOT NULL
        )
        INTO path
        USING
            array_fill(1, ARRAY[generation.embedding_dimension])::vector, filter, condition,
            chunks_wanted, chunks_wanted;
        served := false;
        FOR used IN SELECT jsonb_path_query(path, bitmap_scan) LOOP
            -- What the list of pending entries costs every query is no sign of it.
            EXECUTE format(
                'EXPLAIN (FORMAT JSON) SELECT FROM rankgres.%I WHERE %s',
                'chunk_' || generation.id,
                CASE WHEN used ->> 'Index Name' LIKE '%\_filters'
                    THEN 'filters @@ ''exists($."" ? (@ == 1))''' ELSE 'lexemes @@ ''nothing''' END
            ) INTO path;
            served := served
                OR (used ->> 'Total Cost')::double precision - coalesce(
                    (jsonb_path_query_first(path, bitmap_scan) ->> 'Total Cost')::double precision, 0
                ) < 0.5 * current_setting('random_page_cost')::double precision
                * pg_relation_size(format('rankgres.%I', used ->> 'Index Name')::regclass)
                / current_setting('block_size')::double precision;
        END LOOP;
        exact_ms := CASE
            WHEN served THEN slower * fetched_us * chunk_total * share
            ELSE exact_ms + slower * scanned_us * chunk_total * share
        END;
    END IF;
    -- The rarer what satisfies, the more of it lies beyond the first width: look further, in part.
    IF given_ef_search IS NULL THEN
        width := width / sqrt(share);
    END IF;
    -- A filtered walk stops at the first chunks that satisfy, which are not quite the nearest: at
    -- 1,000,000 chunks and a filter of 5 % recall was 0.917 when just as many as wanted were taken,
    -- 0.927 with twice as many, and is 1 with exact search, which this makes the cheaper one.
    index_chunks := oversampling * chunks_wanted
        * CASE WHEN share < 0.2 THEN 4 WHEN share < 1 THEN 2 ELSE 1 END;
    IF width > 1000 AND share = 1 THEN
        -- Wider than pgvector takes: the walk goes on instead.
        index_chunks := greatest(index_chunks, least(width, chunk_total));
    END IF;
    ef_search := least(width, 1000);
    IF oversampling > 1 THEN
        -- All that the index found anyway: by the real distance they are in quite another order.
        index_chunks := greatest(index_chunks, ef_search);
    END IF;
    returned_ms := slower * returned_us;
    hnsw_ms := returned_ms * greatest(ef_search, index_chunks / share);
    plan := CASE
        WHEN generation.hnsw_state = 'ready'
            AND CASE WHEN restricted THEN restricted_risk ELSE 1 END * hnsw_ms < exact_ms THEN 'hnsw'
        ELSE 'exact'
    END;
    scan_tuples := least(
        greatest(2 * hnsw_ms, exact_ms) / (slower * visited_us), 2147483647
    );
END
$_$;

CREATE FUNCTION rankgres.search_vector_statement_v1(generation rankgres.generation, plan text, filtered boolean, conditioned boolean) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
    SELECT format(
        $statement$
        SELECT array_agg(document_id), array_agg(position), array_agg(distance)
        FROM (
            SELECT document_id, position, distance
            FROM (
                SELECT document_id, position, %2$s AS distance
                FROM rankgres.%1$I
                WHERE %3$s
                ORDER BY %4$s
            ) AS scanned
            ORDER BY distance, document_id COLLATE "C", position
            LIMIT $4
        ) AS nearest
        $statement$,
        'chunk_' || generation.id,
        rankgres.generation_distance_v1(generation, '$1'),
        concat_ws(
            ' AND ',
            'true',
            CASE WHEN filtered THEN 'filters @@ $2' END,
            CASE WHEN conditioned THEN 'lexemes @@ $3' END
        ),
        CASE plan
            WHEN 'hnsw' THEN rankgres.generation_hnsw_order_v1(generation, '$1') || ' LIMIT $5'
            -- An expression that no index has, and no choice left between equals.
            ELSE '0 + ' || rankgres.generation_distance_v1(generation, '$1')
                || ', document_id COLLATE "C", position LIMIT $4'
        END
    )
$_$;

CREATE FUNCTION rankgres.search_vector_v2(searched_generation bigint, query_embedding public.vector, candidates integer, passages integer DEFAULT 1, filter jsonpath DEFAULT NULL::jsonpath, condition tsquery DEFAULT NULL::tsquery, ef_search integer DEFAULT NULL::integer, deadline timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(document_id text, "position" integer, score double precision, rank bigint, passage bigint)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    generation rankgres.generation;
    chunk_total bigint;
    chunks_wanted bigint;
    planned record;
    plan text := 'none';
    step text;
    step_ms double precision;
    left_ms double precision;
    reason text;
    document_ids text [];
    positions integer [];
    distances double precision [];
    documents_found bigint;
    -- Set during the search and put back after it. Clauses SET of the function would do the same,
    -- but to create or restore such a function takes a superuser while pgvector is not loaded.
    settings_before jsonb;
BEGIN
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = searched_generation;
    IF vector_dims(query_embedding) <> generation.embedding_dimension THEN
        RAISE EXCEPTION 'query_embedding has % dimensions, the collection''s embeddings have %',
            vector_dims(query_embedding), generation.embedding_dimension
            USING ERRCODE = 'invalid_parameter_value',
                COLUMN = 'query_embedding',
                HINT = format('embed the query with %s', generation.embedding_model);
    END IF;
    -- Several chunks of one document take places: ask for as many more as documents have on average.
    SELECT
        coalesce(sum(chunk_count), 0),
        ceil(candidates * greatest(1, sum(chunk_count) / nullif(sum(document_count), 0)::float8))
    INTO chunk_total, chunks_wanted
    FROM (
        SELECT chunk_count, document_count FROM rankgres.chunk_total
        WHERE generation_id = searched_generation
        UNION ALL
        SELECT chunk_count, document_count FROM rankgres.chunk_total_change
        WHERE generation_id = searched_generation
    ) AS total;
    SELECT * INTO planned FROM rankgres.search_vector_plan_v1(
        generation, chunk_total, chunks_wanted, filter, condition, ef_search
    );
    step := planned.plan;

    SELECT jsonb_object_agg(name, current_setting(name)) INTO settings_before
    FROM unnest(
        '{hnsw.ef_search,hnsw.iterative_scan,hnsw.max_scan_tuples,hnsw.scan_mem_multiplier,
        enable_sort,enable_bitmapscan,jit}'::text []
    ) AS name;
    PERFORM
        set_config('hnsw.iterative_scan', 'relaxed_order', true),
        -- What a walk remembers: 100 MB are about a million nodes.
        set_config('hnsw.scan_mem_multiplier', greatest(
            1, least(1000, ceil(100 * 1024 ^ 2 / pg_size_bytes(current_setting('work_mem'))))
        )::text, true),
        -- The planner's costs of vectors are high enough to compile statements that take milliseconds.
        set_config('jit', 'off', true);
    LOOP
        EXIT WHEN chunk_total = 0;
        left_ms := 1000 * extract(EPOCH FROM deadline - clock_timestamp());
        IF step = 'exact' AND left_ms < planned.exact_ms AND plan = 'none'
            AND generation.hnsw_state = 'ready' THEN
            -- Better what the index gives in that time than nothing.
            step := 'hnsw';
            reason := format(
                'deadline: exact search would take about %s ms, %s ms were left for the index',
                ceil(planned.exact_ms), floor(greatest(left_ms, 0))
            );
        END IF;
        -- A walk can be bounded, so it only wants some time; exact search takes what it takes.
        step_ms := CASE step WHEN 'exact' THEN planned.exact_ms ELSE least(planned.hnsw_ms, 1) END;
        IF left_ms < step_ms THEN
            reason := format(
                'deadline: %s search would take about %s ms, %s ms are left',
                step, ceil(step_ms), floor(greatest(left_ms, 0))
            );
            EXIT;
        END IF;
        plan := CASE WHEN plan = 'hnsw' AND step = 'exact' THEN 'hnsw+exact' ELSE step END;
        planned.ef_search := greatest(1, least(planned.ef_search, left_ms / planned.returned_ms));
        PERFORM
            set_config('hnsw.ef_search', planned.ef_search::text, true),
            -- A node that a walk visits and hands out at its end takes a third of a result.
            set_config('hnsw.max_scan_tuples', greatest(1, least(
                planned.scan_tuples, 3 * left_ms / planned.returned_ms
            ))::integer::text, true),
            set_config(
                'enable_sort',
                CASE step WHEN 'hnsw' THEN 'off' ELSE settings_before ->> 'enable_sort' END,
                true
            ),
            -- Not through an index that would be read whole.
            set_config(
                'enable_bitmapscan',
                CASE WHEN NOT planned.served THEN 'off'
                    ELSE settings_before ->> 'enable_bitmapscan' END,
                true
            );
        EXECUTE rankgres.search_vector_statement_v1(
            generation, step, filter IS NOT NULL, condition IS NOT NULL
        )
        INTO document_ids, positions, distances
        USING query_embedding, filter, condition, chunks_wanted, planned.index_chunks;
        documents_found := (SELECT count(DISTINCT id) FROM unnest(document_ids) AS id);

        IF step = 'hnsw' AND coalesce(cardinality(document_ids), 0) < least(chunks_wanted, chunk_total)
        THEN
            step := 'exact';
            CONTINUE;
        END IF;
        EXIT WHEN documents_found >= candidates
            OR coalesce(cardinality(document_ids), 0) < chunks_wanted
            OR chunks_wanted >= chunk_total;
        -- Some documents have many more chunks than others.
        chunks_wanted := 2 * chunks_wanted;
        planned.index_chunks := 2 * planned.index_chunks;
        planned.ef_search := least(2 * planned.ef_search, 1000);
        planned.scan_tuples := least(2 * planned.scan_tuples, 2147483647);
        planned.hnsw_ms := 2 * planned.hnsw_ms;
    END LOOP;
    PERFORM set_config(key, value, true) FROM jsonb_each_text(settings_before);
    PERFORM set_config(
        'rankgres.vector_explain',
        jsonb_build_object(
            'plan', CASE chunk_total WHEN 0 THEN 'exact' ELSE plan END,
            'ef_search', CASE WHEN plan LIKE 'hnsw%' THEN planned.ef_search END,
            'selectivity', round(planned.selectivity::numeric, 6),
            'sampled', planned.sampled,
            'expected_hnsw_ms', CASE generation.hnsw_state
                WHEN 'ready' THEN round(planned.hnsw_ms::numeric, 1) END,
            'expected_exact_ms', round(planned.exact_ms::numeric, 1),
            'complete', reason IS NULL,
            'reason', reason
        )::text,
        true
    );

    RETURN QUERY
    WITH placed AS (
        SELECT
            nearest.document_id,
            nearest.position,
            CASE generation.distance
                -- An embedding of zeros has no direction and comes last: least() turns its NaN into 2.
                WHEN 'cosine' THEN 1 - least(nearest.distance, 2)
                ELSE -nearest.distance
            END AS score,
            row_number() OVER (PARTITION BY nearest.document_id ORDER BY nearest.place) AS passage,
            nearest.place
        FROM unnest(document_ids, positions, distances)
            WITH ORDINALITY AS nearest (document_id, position, distance, place)
    ),
    best AS (
        SELECT document_id, row_number() OVER (ORDER BY place) AS rank
        FROM placed
        WHERE passage = 1
        ORDER BY rank
        LIMIT candidates
    )
    SELECT document_id, position, score, rank, passage
    FROM placed JOIN best USING (document_id)
    WHERE passage <= passages
    ORDER BY rank, passage;
END
$$;

CREATE FUNCTION rankgres.snippet_beginning_v1(content text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT CASE
        WHEN length(trimmed.content) <= shown.characters THEN trimmed.content
        ELSE coalesce(
            -- The longest run of whole sentences; the first one may not be longer than what is shown.
            substring(
                shown.beginning
                FROM '^.{20,}(?:[.!?]["''”’)]?(?=\s)|[。！？][」』”]?)'
            ),
            substring(shown.beginning FROM '^(.{20,})\s') || ' …',
            shown.beginning || '…'
        )
    END
    FROM (SELECT btrim(passage.content, E' \t\n\r') AS content FROM (SELECT content) AS passage) AS trimmed
    CROSS JOIN LATERAL (
        -- Han, kana and Hangul say in one character what others say in three.
        SELECT CASE WHEN left(trimmed.content, 100) ~ '[\u3040-\u9fff\uac00-\ud7a3]{4}' THEN 80 ELSE 200 END
    ) AS width (characters)
    CROSS JOIN LATERAL (
        SELECT width.characters, left(trimmed.content, width.characters + 1)
    ) AS shown (characters, beginning)
$$;

CREATE FUNCTION rankgres.snippet_marked_v1(configs text[], wanted text[], content text, start_mark text, stop_mark text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    -- What is looked at of a very long passage, and of one that is full of the query's words.
    max_characters constant integer := 20000;
    max_hits constant integer := 200;
    -- A passage that is shown whole.
    max_whole constant integer := 220;
    max_lexemes constant integer := 100;
    -- Blocks of the scripts that write no blanks.
    unspaced constant text :=
        '\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u31ff\u3400-\u9fff'
        '\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff';
    -- A run of what may be a word, or one other character: punctuation, or of these scripts.
    inner_part constant text :=
        '[^\u0001-/:-@\[-`{-\u00a9\u00ab-\u00bf\u2000-\u206f' || unspaced || ']+|.';
    -- "<", which would begin a tag, and punctuation that is a letter under the locale C: hidden from
    -- the parser behind control characters, and put back.
    punctuation constant text :=
        U&'<\00A0\00A1\00AB\00B7\00BB\00BF\060C\061B\061F\2010\2011\2013\2014\2018\2019\201A'
        '\201C\201D\201E\2022\2026\2039\203A\2212';
    hidden constant text :=
        U&'\0001\0002\0003\0004\0005\0006\0007\0008\000B\000C\000E\000F\0010\0011\0012\0013\0014'
        '\0015\0016\0017\0018\0019\001A\001B\001C';
    any_wanted tsquery;
    plain boolean;
    matching text [] := '{}';
    -- What is marked of the matching words: the word, from where to where, which of the wanted it is.
    words text [] := '{}';
    froms integer [] := '{}';
    tos integer [] := '{}';
    whiches integer [] := '{}';
    -- The same by the passage's characters, in their order.
    starts integer [] := '{}';
    stops integer [] := '{}';
    numbers integer [] := '{}';
    config text;
    word text;
    piece text;
    number integer;
    place integer;
    width integer;
    seen integer [];
    shown integer [] := '{}';
    news integer;
    most_news integer;
    best integer;
    best_stop integer;
    fragments int4range [] := '{}';
    fragment int4range;
    first integer;
    last integer;
    excerpt text := '';
BEGIN
    content := left(content, max_characters);
    wanted := wanted[1:max_lexemes];
    any_wanted := (
        SELECT string_agg('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', '|')
        FROM unnest(wanted) AS lexeme
    )::tsquery;
    IF any_wanted IS NULL THEN
        RETURN NULL;
    END IF;
    IF configs[1] NOT LIKE 'unaccent+%' AND content !~ ('[' || unspaced || ']') THEN
        config := configs[1];
        IF cardinality(configs) > 1 THEN
            SELECT given.name INTO config
            FROM unnest(configs) WITH ORDINALITY AS given (name, place)
            ORDER BY ts_rank(rankgres.lexemes_v1(given.name, content), any_wanted) DESC, given.place
            LIMIT 1;
        END IF;
        plain := octet_length(content) = length(content);
        excerpt := ts_headline(
            config::regconfig,
            -- As lexemes_words has it, some dots and slashes end a word.
            regexp_replace(
                regexp_replace(
                    CASE WHEN plain THEN replace(content, '<', E'\x01')
                        ELSE translate(content, punctuation, hidden) END,
                    '(?<=[a-zA-Z_\u00c0-\uffff])\.(?=[a-zA-Z_\u00c0-\uffff])', E'\x1E', 'g'
                ),
                '(?<=[a-zA-Z_\u00c0-\uffff])/(?=[a-zA-Z_\u00c0-\uffff])'
                '|(?<![a-zA-Z0-9_:/\u0001\u00c0-\uffff])/(?=[a-zA-Z_\u00c0-\uffff])', E'\x1D', 'g'
            ),
            any_wanted,
            format('StartSel="%s", StopSel="%s", ', start_mark, stop_mark) || CASE
                WHEN length(content) <= max_whole THEN 'HighlightAll=true'
                ELSE 'MaxFragments=2, MaxWords=30, MinWords=12, FragmentDelimiter=" … "'
            END
        );
        IF strpos(excerpt, start_mark) = 0 THEN
            RETURN NULL;
        END IF;
        excerpt := replace(replace(replace(excerpt, E'\x1E', '.'), E'\x01', '<'), E'\x1D', '/');
        RETURN CASE WHEN plain THEN excerpt ELSE translate(excerpt, hidden, punctuation) END;
    END IF;
    FOREACH config IN ARRAY configs LOOP
        matching := matching || ARRAY(
            SELECT split.word
            FROM (
                SELECT DISTINCT part AS word
                FROM string_to_table(
                    translate(content, U&'\0009\000A\000D\00A0', '    '), ' '
                ) AS part
                WHERE part <> '' AND part <> ALL (matching)
            ) AS split
            WHERE rankgres.lexemes_v1(config, split.word) @@ any_wanted
        );
    END LOOP;
    -- Of (state-of-the-art), the parts that match; of what matches as a whole alone, the whole.
    FOREACH word IN ARRAY matching LOOP
        place := 0;
        number := NULL;
        FOR piece IN SELECT part[1] FROM regexp_matches(word, inner_part, 'g') AS part LOOP
            IF piece !~ ('^[' || unspaced || ']') THEN
                FOREACH config IN ARRAY configs LOOP
                    IF rankgres.lexemes_v1(config, piece) @@ any_wanted THEN
                        number := array_position(wanted, (
                            SELECT lexeme
                            FROM unnest(tsvector_to_array(rankgres.lexemes_v1(config, piece))) AS lexeme
                            WHERE lexeme = ANY (wanted)
                            LIMIT 1
                        ));
                        words := words || word;
                        froms := froms || place;
                        tos := tos || place + length(piece);
                        whiches := whiches || number;
                        EXIT;
                    END IF;
                END LOOP;
            END IF;
            place := place + length(piece);
        END LOOP;
        -- What is cut into pairs is looked for below.
        IF number IS NULL AND word !~ ('[' || unspaced || ']') THEN
            words := words || word;
            froms := froms || length(word) - length(ltrim(word, '("''['));
            tos := tos || length(rtrim(word, '.,;:!?)"''’”]…'));
            whiches := whiches || 0;
        END IF;
    END LOOP;
    place := 0;
    IF words <> '{}' THEN
        FOREACH piece IN ARRAY string_to_array(translate(content, U&'\0009\000A\000D\00A0', '    '), ' ')
        LOOP
            IF piece = ANY (words) AND cardinality(starts) < max_hits THEN
                FOR number IN 1..cardinality(words) LOOP
                    IF words[number] = piece THEN
                        starts := starts || place + froms[number];
                        stops := stops || place + tos[number];
                        numbers := numbers || whiches[number];
                    END IF;
                END LOOP;
            END IF;
            place := place + length(piece) + 1;
        END LOOP;
    END IF;
    seen := '{}';
    FOR number IN 1..cardinality(wanted) LOOP
        -- A letter before it stays apart only from what is cut into pairs.
        CONTINUE WHEN octet_length(wanted[number]) = length(wanted[number])
            OR strpos(content, wanted[number]) = 0
            OR rankgres.lexemes_words_v1('a' || wanted[number], false) NOT LIKE 'a %';
        place := 0;
        FOREACH piece IN ARRAY string_to_array(content, wanted[number]) LOOP
            place := place + length(piece);
            EXIT WHEN place >= length(content) OR cardinality(starts) >= 2 * max_hits;
            starts := starts || place;
            place := place + length(wanted[number]);
            stops := stops || place;
            numbers := numbers || number;
            seen := seen || number;
        END LOOP;
    END LOOP;
    IF starts = '{}' THEN
        RETURN NULL;
    ELSIF seen <> '{}' THEN
        SELECT
            array_agg(hit.start ORDER BY hit.start, hit.stop),
            array_agg(hit.stop ORDER BY hit.start, hit.stop),
            array_agg(hit.number ORDER BY hit.start, hit.stop)
        INTO starts, stops, numbers
        FROM unnest(starts, stops, numbers) AS hit (start, stop, number);
    END IF;

    -- Han, kana and Hangul say in one character what others say in three.
    width := CASE WHEN substr(content, starts[1] + 1, 100) ~ '[\u3040-\u9fff\uac00-\ud7a3]{4}' THEN 70
        ELSE 170 END;
    IF length(content) <= least(1.3 * width, max_whole) THEN
        fragments := ARRAY[int4range(0, length(content))];
    ELSE
        -- Twice what says most that has not been shown: the most different words, then the earliest.
        FOR turn IN 1..2 LOOP
            most_news := 0;
            FOR hit IN 1..cardinality(starts) LOOP
                CONTINUE WHEN numbers[hit] = ANY (shown);
                seen := shown;
                news := 0;
                place := hit;
                WHILE place <= cardinality(starts) AND stops[place] <= starts[hit] + width LOOP
                    IF numbers[place] <> ALL (seen) THEN
                        seen := seen || numbers[place];
                        news := news + 1;
                    END IF;
                    place := place + 1;
                END LOOP;
                IF greatest(news, 1) > most_news THEN
                    most_news := greatest(news, 1);
                    best := hit;
                    best_stop := greatest(stops[hit], stops[greatest(hit, place - 1)]);
                END IF;
            END LOOP;
            EXIT WHEN most_news = 0;
            FOR hit IN best..cardinality(starts) LOOP
                EXIT WHEN starts[hit] >= best_stop;
                shown := shown || numbers[hit];
            END LOOP;
            -- Room on both sides: from the beginning of a sentence, if one is near, else of a word.
            first := greatest(0, starts[best] - (width - (best_stop - starts[best])) / 2);
            IF first > 0 THEN
                piece := substr(content, first + 1, starts[best] - first);
                first := first + coalesce(
                    length(substring(piece FROM '^.*(?:[.!?]["''”’)]?\s+|[。！？][」』”]?)')),
                    length(substring(piece FROM '^\S*\s+')),
                    0
                );
            END IF;
            last := least(length(content), greatest(first + width, best_stop));
            IF last < length(content) THEN
                last := best_stop + coalesce(
                    length(substring(
                        substr(content, best_stop + 1, last - best_stop + 1) FROM '^(.*)\s'
                    )),
                    last - best_stop
                );
            END IF;
            fragments := fragments || int4range(first, last);
        END LOOP;
    END IF;

    last := 0;
    FOR fragment IN SELECT unnest(range_agg(given)) FROM unnest(fragments) AS given LOOP
        excerpt := excerpt || CASE
            WHEN lower(fragment) = 0 THEN ''
            WHEN excerpt = '' THEN '… '
            ELSE ' … '
        END;
        last := lower(fragment);
        place := 1;
        WHILE place <= cardinality(starts) AND starts[place] < upper(fragment) LOOP
            IF starts[place] >= last THEN
                first := starts[place];
                excerpt := excerpt || substr(content, last + 1, first - last) || start_mark;
                last := stops[place];
                -- Pairs that overlap, and neighbours of a script without blanks, are one stretch.
                WHILE starts[place + 1] <= last AND stops[place + 1] <= upper(fragment) LOOP
                    place := place + 1;
                    last := greatest(last, stops[place]);
                END LOOP;
                excerpt := excerpt || substr(content, first + 1, last - first) || stop_mark;
            END IF;
            place := place + 1;
        END LOOP;
        excerpt := excerpt || substr(content, last + 1, upper(fragment) - last);
        last := greatest(last, upper(fragment));
    END LOOP;
    RETURN excerpt || CASE WHEN last < length(content) THEN ' …' ELSE '' END;
END
$$;

CREATE FUNCTION rankgres.snippet_v2(searched_generation bigint, query text, content text, start_mark text, stop_mark text, language text DEFAULT NULL::text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT coalesce(
        rankgres.snippet_marked_v1(
            rankgres.generation_configs_v1(searched_generation, language),
            (rankgres.query_parse_v1(searched_generation, query, language)).lexemes,
            content,
            start_mark,
            stop_mark
        ),
        rankgres.snippet_beginning_v1(content)
    )
$$;

CREATE FUNCTION rankgres.source_attach_triggers_v1(attached_collection bigint, source_relation oid) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    tables integer := 0;
    lacks boolean;
    target regclass;
    operation text;
    sees text;
    trigger_name text;
BEGIN
    FOR target IN
        SELECT relation FROM rankgres.source_tables_v1(source_relation) WHERE kind IN ('r', 'p')
    LOOP
        lacks := false;
        FOR operation, sees IN VALUES
            ('insert', 'REFERENCING NEW TABLE AS new_rows'),
            ('update', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'),
            ('delete', 'REFERENCING OLD TABLE AS old_rows'),
            ('truncate', '')
        LOOP
            trigger_name := format('rankgres_%s_%s', attached_collection, operation);
            CONTINUE WHEN EXISTS (
                SELECT FROM pg_trigger WHERE tgrelid = target AND tgname = trigger_name
            );
            lacks := true;
            EXECUTE format(
                'CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT
                EXECUTE FUNCTION rankgres.source_%s_%s()',
                trigger_name, operation, rankgres.source_name_v1(target), sees, attached_collection, operation
            );
            IF pg_has_role((SELECT relowner FROM pg_class WHERE oid = target), 'USAGE') THEN
                EXECUTE format(
                    'ALTER TABLE %s ENABLE ALWAYS TRIGGER %I',
                    rankgres.source_name_v1(target), trigger_name
                );
            END IF;
        END LOOP;
        tables := tables + lacks::integer;
    END LOOP;
    RETURN tables;
END
$$;

CREATE FUNCTION rankgres.source_authorize_v1(collection_name text) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    caller constant name := rankgres.source_caller_v1();
    steered bigint;
BEGIN
    SELECT id INTO steered FROM rankgres.collection WHERE name = collection_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'collection "%" does not exist', collection_name
            USING ERRCODE = 'undefined_object', COLUMN = 'collection',
                HINT = 'SELECT name FROM rankgres.collection';
    ELSIF NOT pg_has_role(caller, current_user, 'USAGE') AND NOT EXISTS (
        SELECT FROM rankgres.source
        LEFT JOIN pg_class ON pg_class.oid = source.relation
        JOIN pg_roles AS steering ON steering.oid = relowner OR steering.rolname = attached_by
        WHERE collection_id = steered AND pg_has_role(caller, steering.oid, 'USAGE')
    ) THEN
        RAISE EXCEPTION 'role % may not steer collection "%"', quote_ident(caller), collection_name
            USING ERRCODE = 'insufficient_privilege', COLUMN = 'collection',
                HINT = 'let the role that attached it do it, or the owner of its relation';
    END IF;
    RETURN steered;
END
$$;

CREATE FUNCTION rankgres.source_caller_v1() RETURNS name
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT coalesce(nullif(current_setting('role'), 'none')::name, session_user)
$$;

CREATE FUNCTION rankgres.source_change_fold_v1(max_rows integer) RETURNS TABLE(generation_id bigint, documents bigint)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    too_long constant text := 'its key has more than 1024 bytes';
BEGIN
    RETURN QUERY
    WITH taken AS (
        SELECT id FROM rankgres.source_change
        WHERE document_ids IS NOT NULL
        ORDER BY id
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    ),
    moved AS (
        DELETE FROM rankgres.source_change USING taken WHERE source_change.id = taken.id
        RETURNING source_change.collection_id, source_change.changed_at, source_change.document_ids
    ),
    changed AS (
        SELECT generation.id AS generation_id, given.id AS document_id, min(moved.changed_at) AS changed_at
        FROM moved
        JOIN rankgres.generation ON
            generation.collection_id = moved.collection_id
            AND generation.state IN ('building', 'active')
        CROSS JOIN LATERAL unnest(moved.document_ids) AS given (id)
        WHERE octet_length(given.id) <= 2600
        GROUP BY generation.id, given.id
    ),
    warned AS (
        UPDATE rankgres.source SET compare_error = 'a key has more than 2600 bytes: ' || too_big.beginning
        FROM (
            SELECT moved.collection_id, max(left(given.id, 100)) AS beginning
            FROM moved
            CROSS JOIN LATERAL unnest(moved.document_ids) AS given (id)
            WHERE octet_length(given.id) > 2600
            GROUP BY moved.collection_id
        ) AS too_big
        WHERE source.collection_id = too_big.collection_id
    ),
    queued AS (
        INSERT INTO rankgres.outbox (
            generation_id, document_id, enqueued_at, priority, last_error, dead_at
        )
        SELECT
            changed.generation_id, changed.document_id, changed.changed_at, 0,
            CASE WHEN octet_length(changed.document_id) > 1024 THEN too_long END,
            CASE WHEN octet_length(changed.document_id) > 1024 THEN clock_timestamp() END
        FROM changed
        -- Everybody in the same order: nobody deadlocks.
        ORDER BY changed.generation_id, changed.document_id
        ON CONFLICT (generation_id, document_id) DO UPDATE SET
            version = nextval('rankgres.outbox_version'),
            enqueued_at = excluded.enqueued_at,
            due_at = CASE WHEN outbox.lease IS NULL THEN clock_timestamp() ELSE outbox.due_at END,
            attempts = 0,
            last_error = excluded.last_error,
            dead_at = excluded.dead_at,
            priority = 0
        RETURNING outbox.generation_id
    )
    SELECT queued.generation_id, count(*) FROM queued GROUP BY queued.generation_id;
END
$$;

CREATE FUNCTION rankgres.source_changes_unknown_v1(compared_collection bigint) RETURNS bigint[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    unknown_changes constant bigint [] := ARRAY(
        SELECT id FROM rankgres.source_change
        WHERE collection_id = compared_collection AND document_ids IS NULL
    );
BEGIN
    WITH held AS (
        SELECT outbox.generation_id, outbox.document_id
        FROM rankgres.outbox
        JOIN rankgres.generation ON generation.id = outbox.generation_id
        WHERE generation.collection_id = compared_collection AND outbox.lease IS NOT NULL
        -- Everybody in the same order. It waits for workers that finish: what they write is then there
        -- to be compared.
        ORDER BY outbox.generation_id, outbox.document_id
        FOR UPDATE OF outbox
    )
    UPDATE rankgres.outbox SET version = nextval('rankgres.outbox_version')
    FROM held
    WHERE outbox.generation_id = held.generation_id AND outbox.document_id = held.document_id;
    RETURN unknown_changes;
END
$$;

CREATE FUNCTION rankgres.source_column_names_v1(source_relation oid) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT string_agg(attname::text, ', ' ORDER BY attnum)
    FROM pg_attribute
    WHERE attrelid = source_relation AND attnum > 0 AND NOT attisdropped
$$;

CREATE FUNCTION rankgres.source_columns_v1(source_relation oid, column_names text[], qualifier text DEFAULT ''::text) RETURNS TABLE(name text, as_text text, as_jsonb text, as_hashable text, type_name text, operator_schema text, is_injective boolean, is_settled boolean)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
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
$_$;

CREATE FUNCTION rankgres.source_compare_v1(compared_collection bigint, unknown_changes bigint[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET row_security TO 'off'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET bytea_output TO 'hex'
    AS $$
DECLARE
    queued bigint := 0;
    failure text;
BEGIN
    IF NOT EXISTS (SELECT FROM rankgres.source WHERE collection_id = compared_collection)
        OR EXISTS (
            SELECT FROM rankgres.backfill
            JOIN rankgres.generation ON generation.id = backfill.generation_id
            WHERE generation.collection_id = compared_collection AND finished_at IS NULL
        )
        OR NOT pg_try_advisory_xact_lock(
            hashtextextended('rankgres.source_compare', compared_collection)
        )
    THEN
        RETURN 0;
    END IF;
    BEGIN
        PERFORM rankgres.source_store_v1(compared_collection);
        BEGIN
            SELECT * INTO queued, failure FROM rankgres.source_queue_difference_v1(
                compared_collection, rankgres.source_statement_v1(compared_collection, 'hashes')
            );
        EXCEPTION
            WHEN data_exception OR program_limit_exceeded OR internal_error OR raise_exception THEN
                -- A row that cannot be read is queued, and becomes a dead letter.
                SELECT * INTO queued, failure FROM rankgres.source_queue_difference_v1(
                    compared_collection,
                    format('SELECT * FROM rankgres.source_hashes_apart_v1(%s)', compared_collection)
                );
        END;
        DELETE FROM rankgres.source_change WHERE id = ANY (unknown_changes);
    EXCEPTION WHEN OTHERS THEN
        failure := SQLERRM;
        queued := 0;
    END;
    failure := concat_ws('; ', failure, rankgres.source_follow_v1(compared_collection));
    UPDATE rankgres.source SET compared_at = clock_timestamp(), compare_error = nullif(failure, '')
    WHERE collection_id = compared_collection;
    RETURN queued;
END
$$;

CREATE FUNCTION rankgres.source_condition_v1(source_relation oid, condition_index oid, OUT condition text, OUT column_names text[]) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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
$$;

CREATE FUNCTION rankgres.source_documents_v1(searched_collection bigint, document_ids text[]) RETURNS TABLE(document_id text, title text, text text, metadata jsonb, content_hash bytea)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET row_security TO 'off'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET bytea_output TO 'hex'
    AS $$
DECLARE
    statement constant text := rankgres.source_reading_v1(searched_collection, 'documents');
BEGIN
    RETURN QUERY EXECUTE statement
    USING ARRAY(SELECT DISTINCT unnest(document_ids));
EXCEPTION
    WHEN undefined_table OR undefined_column OR undefined_function OR undefined_object
        OR insufficient_privilege OR object_not_in_prerequisite_state OR fdw_error
        OR connection_exception
    THEN
        PERFORM rankgres.source_unreadable_v1(SQLERRM);
END
$$;

CREATE FUNCTION rankgres.source_follow_v1(followed_collection bigint) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET lock_timeout TO '50ms'
    AS $$
DECLARE
    followed oid;
    operation text;
BEGIN
    SELECT relation INTO followed FROM rankgres.source
    WHERE collection_id = followed_collection AND sync = 'triggers';
    IF NOT FOUND OR NOT EXISTS (SELECT FROM pg_class WHERE oid = followed) THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM rankgres.source_tables_v1(followed) WHERE kind = 'f') THEN
        FOREACH operation IN ARRAY '{insert,update,delete,truncate}'::text [] LOOP
            EXECUTE format(
                'DROP FUNCTION IF EXISTS rankgres.source_%s_%s() CASCADE', followed_collection, operation
            );
        END LOOP;
        UPDATE rankgres.source
        SET sync = 'comparison', compare_every = least(compare_every, interval '5 min')
        WHERE collection_id = followed_collection;
        INSERT INTO rankgres.source_change (collection_id, reason)
        VALUES (followed_collection, 'a foreign partition');
    ELSIF rankgres.source_attach_triggers_v1(followed_collection, followed) > 0 THEN
        INSERT INTO rankgres.source_change (collection_id, reason)
        VALUES (followed_collection, 'a new partition');
    END IF;
    RETURN NULL;
EXCEPTION
    WHEN lock_not_available THEN
        RETURN 'a new partition was locked, and gets its triggers the next time';
    WHEN insufficient_privilege THEN
        RETURN format(
            'a new partition has no triggers (%s): GRANT TRIGGER on it TO %I', SQLERRM, current_user
        );
END
$$;

CREATE FUNCTION rankgres.source_free_name_v1(wanted text, taken text[]) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
    WHILE wanted = ANY (taken) LOOP
        wanted := wanted || '_';
    END LOOP;
    RETURN wanted;
END
$$;

CREATE FUNCTION rankgres.source_hashes_apart_v1(searched_collection bigint) RETURNS TABLE(document_id text, content_hash bytea)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET row_security TO 'off'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET bytea_output TO 'hex'
    AS $$
DECLARE
    ids text [];
BEGIN
    FOR ids IN EXECUTE format(
        'SELECT array_agg(id) FROM (
            SELECT id, (row_number() OVER () - 1) / 1000 AS part FROM (%s) AS row
        ) AS numbered
        GROUP BY part',
        rankgres.source_statement_v1(searched_collection, 'ids')
    ) LOOP
        RETURN QUERY SELECT * FROM rankgres.source_hashes_of_v1(searched_collection, ids);
    END LOOP;
END
$$;

CREATE FUNCTION rankgres.source_hashes_of_v1(searched_collection bigint, document_ids text[]) RETURNS TABLE(document_id text, content_hash bytea)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    middle constant integer := cardinality(document_ids) / 2;
BEGIN
    RETURN QUERY
    SELECT found.document_id, found.content_hash
    FROM rankgres.source_documents_v1(searched_collection, document_ids) AS found;
EXCEPTION
    WHEN data_exception OR program_limit_exceeded OR internal_error OR raise_exception THEN
        IF middle = 0 THEN
            RETURN QUERY SELECT document_ids[1], NULL::bytea;
        ELSE
            RETURN QUERY
            SELECT * FROM rankgres.source_hashes_of_v1(searched_collection, document_ids[:middle])
            UNION ALL
            SELECT * FROM rankgres.source_hashes_of_v1(searched_collection, document_ids[middle + 1 :]);
        END IF;
END
$$;

CREATE FUNCTION rankgres.source_hashes_together_v1(searched_collection bigint) RETURNS TABLE(document_id text, content_hash bytea)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET row_security TO 'off'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET bytea_output TO 'hex'
    AS $$
DECLARE
    statement constant text := rankgres.source_reading_v1(searched_collection, 'hashes');
BEGIN
    RETURN QUERY EXECUTE statement;
EXCEPTION
    WHEN undefined_table OR undefined_column OR undefined_function OR undefined_object
        OR insufficient_privilege OR object_not_in_prerequisite_state OR fdw_error
        OR connection_exception
    THEN
        PERFORM rankgres.source_unreadable_v1(SQLERRM);
END
$$;

CREATE FUNCTION rankgres.source_hashes_v1(searched_collection bigint) RETURNS TABLE(document_id text, content_hash bytea)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET row_security TO 'off'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET bytea_output TO 'hex'
    AS $$
BEGIN
    -- Through a function of its own: what came before an error must not stay.
    RETURN QUERY SELECT * FROM rankgres.source_hashes_together_v1(searched_collection);
EXCEPTION
    WHEN data_exception OR program_limit_exceeded OR internal_error OR raise_exception THEN
        RETURN QUERY SELECT * FROM rankgres.source_hashes_apart_v1(searched_collection);
END
$$;

CREATE FUNCTION rankgres.source_id_v1(source_relation oid, key_columns text[], qualifier text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT CASE count(*)
        WHEN 1 THEN max(as_text)
        ELSE format('jsonb_build_array(%s)::text', string_agg(as_text, ', '))
    END
    FROM rankgres.source_columns_v1(source_relation, key_columns, qualifier)
$$;

CREATE FUNCTION rankgres.source_key_index_v1(source_relation oid, key_columns text[]) RETURNS oid
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT indexrelid
    FROM pg_index
    WHERE indrelid = source_relation
        AND indisunique
        AND indisvalid
        AND indpred IS NULL
        AND indexprs IS NULL
        AND indnkeyatts = cardinality(key_columns)
        AND NOT EXISTS (
            SELECT attname::text
            FROM unnest(indkey::smallint []) WITH ORDINALITY AS part (attnum, place)
            JOIN pg_attribute ON attrelid = source_relation AND pg_attribute.attnum = part.attnum
            WHERE part.place <= indnkeyatts
            EXCEPT
            SELECT unnest(key_columns)
        )
    ORDER BY indisprimary DESC, indexrelid
    LIMIT 1
$$;

CREATE FUNCTION rankgres.source_key_v1(source_relation oid, given_columns text[]) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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
$$;

CREATE FUNCTION rankgres.source_name_v1(source_relation oid) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT format('%I.%I', nspname, relname)
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = source_relation
$$;

CREATE FUNCTION rankgres.source_queue_difference_v1(compared_collection bigint, present text, OUT queued bigint, OUT warning text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    compared_generation bigint;
    found_now bigint;
    left_out text;
    too_long text [];
BEGIN
    queued := 0;
    FOR compared_generation IN
        SELECT id FROM rankgres.generation
        WHERE collection_id = compared_collection AND state IN ('building', 'active')
        ORDER BY id
    LOOP
        EXECUTE format(
            $statement$
            WITH difference AS MATERIALIZED (
                SELECT document_id, octet_length(document_id) AS bytes
                FROM (%1$s) AS present
                FULL JOIN (
                    SELECT document_id, content_hash FROM rankgres.indexed_document
                    WHERE generation_id = %2$s
                ) AS indexed USING (document_id)
                WHERE present.content_hash IS DISTINCT FROM indexed.content_hash
                    -- Neither has one: that it cannot be read is news all the same.
                    OR present.content_hash IS NULL
            ),
            inserted AS (
                INSERT INTO rankgres.outbox (
                    generation_id, document_id, priority, last_error, dead_at
                )
                SELECT
                    %2$s, document_id, 1,
                    CASE WHEN bytes > 1024 THEN 'its key has more than 1024 bytes' END,
                    CASE WHEN bytes > 1024 THEN clock_timestamp() END
                FROM difference
                WHERE bytes <= 2600 AND NOT EXISTS (
                    SELECT FROM rankgres.outbox AS waiting
                    WHERE waiting.generation_id = %2$s
                        AND waiting.document_id = difference.document_id
                )
                ORDER BY document_id
                ON CONFLICT (generation_id, document_id) DO NOTHING
                RETURNING dead_at
            )
            SELECT
                (SELECT count(*) FROM inserted WHERE dead_at IS NULL),
                (SELECT max(left(document_id, 100)) FROM difference WHERE bytes > 2600)
            $statement$,
            present,
            compared_generation
        ) INTO found_now, left_out;
        warning := coalesce('a key has more than 2600 bytes: ' || left_out, warning);
        queued := queued + found_now;
        -- Of what is too long to be indexed nothing else tells when it is gone.
        too_long := ARRAY(
            SELECT document_id FROM rankgres.outbox
            WHERE generation_id = compared_generation
                AND dead_at IS NOT NULL
                AND octet_length(document_id) > 1024
        );
        DELETE FROM rankgres.outbox
        WHERE generation_id = compared_generation
            AND document_id = ANY (too_long)
            AND NOT EXISTS (
                SELECT FROM rankgres.source_documents_v1(compared_collection, too_long) AS found
                WHERE found.document_id = outbox.document_id
            );
    END LOOP;
END
$_$;

CREATE FUNCTION rankgres.source_reading_v1(read_collection bigint, kind text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    source rankgres.source;
BEGIN
    SELECT * INTO source FROM rankgres.source WHERE collection_id = read_collection;
    IF rankgres.source_shape_v1(source) = source.shape THEN
        RETURN CASE kind WHEN 'documents' THEN source.documents_statement ELSE source.hashes_statement END;
    END IF;
    RETURN rankgres.source_statement_v1(read_collection, kind);
END
$$;

CREATE FUNCTION rankgres.source_register_v1(collection_name text, source_relation oid, key_columns text[], title_column text, text_columns text[], template text, text_format text, filter_columns text[], condition_index oid, compare_every interval, row_security boolean, backfill_rows_per_second double precision, embedding_model text, chunk_tokens integer, overlap_tokens integer, storage_type text, text_search_config text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;

CREATE FUNCTION rankgres.source_require_columns_v1(source_relation oid, column_names text[], parameter text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    unknown text;
BEGIN
    SELECT name INTO unknown
    FROM unnest(column_names) AS name
    WHERE name IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = source_relation AND attname::text = name AND attnum > 0 AND NOT attisdropped
    )
    LIMIT 1;
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION '% has no column "%"', rankgres.source_name_v1(source_relation), unknown
            USING ERRCODE = 'invalid_parameter_value', COLUMN = parameter,
                HINT = 'its columns are, in upper and lower case as here: '
                    || rankgres.source_column_names_v1(source_relation);
    END IF;
END
$$;

CREATE FUNCTION rankgres.source_require_rights_v1(source_relation oid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    caller constant name := rankgres.source_caller_v1();
    relation pg_class;
    shown text := rankgres.source_name_v1(source_relation);
    schema_name name;
    unsupported text;
    lacking text;
    mend text;
    target record;
BEGIN
    SELECT * INTO relation FROM pg_class WHERE oid = source_relation;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'relation % does not exist', source_relation
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'relation';
    END IF;
    schema_name := relation.relnamespace::regnamespace;
    unsupported := CASE
        WHEN relation.relpersistence = 't' THEN 'is temporary: no worker can see it'
        WHEN schema_name = 'rankgres' THEN 'is Rankgres'' own'
        WHEN schema_name IN ('pg_catalog', 'information_schema', 'pg_toast') THEN 'is the system''s own'
        WHEN relation.relkind IN ('r', 'p', 'm', 'f', 'v') THEN NULL
        ELSE 'is ' || CASE relation.relkind
            WHEN 'S' THEN 'a sequence' WHEN 'i' THEN 'an index' WHEN 'I' THEN 'an index'
            WHEN 'c' THEN 'a composite type' ELSE 'of another kind' END
    END;
    IF unsupported IS NOT NULL THEN
        RAISE EXCEPTION '% %', shown, unsupported
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'relation',
                HINT = 'attach a table, a partitioned table, a materialised view, a foreign table or a view';
    END IF;

    IF NOT has_function_privilege(caller, 'rankgres.attach'::regproc, 'EXECUTE') THEN
        lacking := format('role %I may not attach', caller);
        mend := format(
            'GRANT EXECUTE ON FUNCTION %s TO %I',
            'rankgres.attach'::regproc::oid::regprocedure, caller
        );
    ELSIF NOT has_table_privilege(caller, source_relation, 'SELECT') THEN
        lacking := format('role %I may not read %s', caller, shown);
        mend := format('GRANT SELECT ON %s TO %I', shown, caller);
    ELSIF NOT has_schema_privilege(relation.relnamespace, 'USAGE') THEN
        lacking := format('the workers'' role %I may not use schema %I', current_user, schema_name);
        mend := format('GRANT USAGE ON SCHEMA %I TO %I', schema_name, current_user);
    ELSIF NOT has_table_privilege(source_relation, 'SELECT') THEN
        lacking := format('the workers'' role %I may not read %s', current_user, shown);
        mend := format('GRANT SELECT ON %s TO %I', shown, current_user);
    ELSIF row_security_active(source_relation) THEN
        lacking := format('row security hides rows of %s from the workers'' role %I', shown, current_user);
        mend := CASE
            WHEN relation.relforcerowsecurity THEN format('ALTER ROLE %I BYPASSRLS', current_user)
            ELSE format(
                'ALTER ROLE %I BYPASSRLS, or GRANT %I TO %1$I', current_user, relation.relowner::regrole
            )
        END;
    ELSIF relation.relkind = 'v' AND NOT pg_has_role(caller, current_user, 'USAGE') THEN
        -- The functions of a view run with the rights of whoever reads it.
        lacking := format('role %I may not have the workers'' role %I read a view', caller, current_user);
        mend := format(
            'attach its table with a condition, or a materialised view, or have %I attach it', current_user
        );
    END IF;
    IF lacking IS NULL AND relation.relkind IN ('r', 'p') THEN
        FOR target IN SELECT * FROM rankgres.source_tables_v1(source_relation) WHERE kind IN ('r', 'p') LOOP
            IF NOT has_table_privilege(caller, target.relation, 'TRIGGER') THEN
                shown := rankgres.source_name_v1(target.relation);
                lacking := format('role %I may not make triggers on %s', caller, shown);
                mend := format('GRANT TRIGGER ON %s TO %I', shown, caller);
                EXIT;
            END IF;
        END LOOP;
    END IF;
    IF lacking IS NOT NULL THEN
        RAISE EXCEPTION '%', lacking
            USING ERRCODE = 'insufficient_privilege', COLUMN = 'relation', HINT = mend;
    END IF;
END
$_$;

CREATE FUNCTION rankgres.source_row_v1(read_collection bigint, OUT document_id text, OUT title text, OUT body text, OUT metadata text, OUT rows text, OUT repeated boolean) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    source rankgres.source;
    missing text;
    read_names text;
BEGIN
    SELECT * INTO STRICT source FROM rankgres.source WHERE collection_id = read_collection;
    IF NOT EXISTS (SELECT FROM pg_class WHERE oid = source.relation) THEN
        RAISE EXCEPTION 'the relation that the collection is attached to was dropped'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'detach the collection; keep => true keeps what is indexed';
    END IF;
    SELECT
        string_agg(quote_ident(name), ', ' ORDER BY place),
        string_agg(quote_ident(name), ', ' ORDER BY place) FILTER (
            WHERE NOT EXISTS (
                SELECT FROM pg_attribute
                WHERE attrelid = source.relation
                    AND attname::text = name
                    AND attnum > 0
                    AND NOT attisdropped
            )
        )
    INTO read_names, missing
    FROM unnest(source.read_columns) WITH ORDINALITY AS part (name, place);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION '% has no column % any more', rankgres.source_name_v1(source.relation), missing
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'give it its name back, or detach the collection and attach it anew';
    END IF;
    -- The condition sees the columns of the relation and nothing beside them.
    rows := format(
        '(SELECT %s FROM %s%s) AS source_row',
        read_names, rankgres.source_name_v1(source.relation), ' WHERE ' || source.condition
    );
    repeated := rankgres.source_key_index_v1(source.relation, source.key_columns) IS NULL
        -- A key is unique in each table of an inheritance alone.
        OR EXISTS (
            SELECT FROM pg_inherits
            JOIN pg_class ON pg_class.oid = inhparent AND relkind = 'r'
            WHERE inhparent = source.relation
        );
    document_id := rankgres.source_id_v1(source.relation, source.key_columns, 'source_row.');
    title := format('coalesce(%s, '''')', coalesce(
        (
            SELECT as_text
            FROM rankgres.source_columns_v1(
                source.relation, ARRAY[source.title_column], 'source_row.'
            )
        ),
        ''''''
    ));
    IF source.template IS NULL THEN
        SELECT format('concat_ws(E''\n\n'', %s)', string_agg(as_text, ', ')) INTO body
        FROM rankgres.source_columns_v1(source.relation, source.text_columns, 'source_row.');
    ELSE
        SELECT string_agg(part.expression, ' || ' ORDER BY part.place) INTO body
        FROM (
            SELECT
                format('concat(%s)', string_agg(
                    coalesce(as_text, quote_literal(literal)), ', ' ORDER BY part.place
                )) AS expression,
                min(part.place) AS place
            FROM rankgres.source_template_v1(source.template) WITH ORDINALITY AS part (
                literal, column_name, place
            )
            LEFT JOIN LATERAL rankgres.source_columns_v1(
                source.relation, ARRAY[part.column_name], 'source_row.'
            ) ON part.column_name IS NOT NULL
            -- A function has at most 100 arguments.
            GROUP BY part.place / 50
        ) AS part;
    END IF;
    SELECT coalesce(string_agg(part.expression, ' || '), '''{}''::jsonb') INTO metadata
    FROM (
        SELECT format(
            '(jsonb_build_object(%s) - ARRAY[%s])',
            string_agg(format('%L, %s', name, as_jsonb), ', '),
            -- A column without a value is left out; what lies in a value is not touched.
            string_agg(format('CASE num_nulls(source_row.%I) WHEN 1 THEN %L END', name, name), ', ')
        ) AS expression
        FROM rankgres.source_columns_v1(
            source.relation, source.filter_columns, 'source_row.'
        ) WITH ORDINALITY AS filter (
            name, as_text, as_jsonb, as_hashable, type_name, operator_schema, is_injective, is_settled,
            place
        )
        GROUP BY place / 40
    ) AS part;
END
$$;

CREATE FUNCTION rankgres.source_rows_v1(counted_collection bigint, count_limit bigint, OUT estimate bigint, OUT counted boolean) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET row_security TO 'off'
    AS $$
DECLARE
    belonging constant text := (
        SELECT document.rows FROM rankgres.source_row_v1(counted_collection) AS document
    );
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT FROM ' || belonging INTO plan;
    estimate := (plan -> 0 -> 'Plan' ->> 'Plan Rows')::double precision::bigint;
    -- What a view or another server would do to count is not known.
    counted := estimate <= count_limit AND (
        SELECT relkind IN ('r', 'p', 'm')
        FROM rankgres.source
        JOIN pg_class ON pg_class.oid = source.relation
        WHERE source.collection_id = counted_collection
    );
    IF counted THEN
        EXECUTE 'SELECT count(*) FROM ' || belonging INTO estimate;
    END IF;
END
$$;

CREATE FUNCTION rankgres.source_sample_v1(sampled_collection bigint, sample_rows integer) RETURNS TABLE(title text, text text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET row_security TO 'off'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET bytea_output TO 'hex'
    AS $$
DECLARE
    source rankgres.source;
    -- The expressions of a document; fields as in source_row.
    document record;
    -- Per cent of the relation, so that four times as many rows as are wanted come back.
    share double precision;
BEGIN
    SELECT * INTO STRICT source FROM rankgres.source WHERE collection_id = sampled_collection;
    SELECT * INTO document FROM rankgres.source_row_v1(sampled_collection);
    SELECT least(100, 400.0 * sample_rows / nullif(belonging.estimate, 0)) INTO share
    FROM rankgres.source_rows_v1(sampled_collection, 0) AS belonging;
    IF (SELECT relkind IN ('r', 'm', 'p') FROM pg_class WHERE oid = source.relation) THEN
        RETURN QUERY EXECUTE format(
            'SELECT %s, %s
            FROM (SELECT * FROM %s TABLESAMPLE SYSTEM (%s) REPEATABLE (1)%s) AS source_row
            ORDER BY md5(%s)
            LIMIT %s',
            document.title,
            document.body,
            source.relation,
            share,
            ' WHERE ' || source.condition,
            document.document_id,
            sample_rows
        );
        -- None where the estimate was far off.
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT %s, %s FROM %s LIMIT %s', document.title, document.body, document.rows, sample_rows
    );
END
$$;

CREATE TABLE rankgres.source (
    collection_id bigint NOT NULL,
    relation regclass NOT NULL,
    key_columns text[] NOT NULL,
    title_column text,
    text_columns text[] NOT NULL,
    template text,
    text_format text DEFAULT 'plain'::text NOT NULL,
    filter_columns text[] DEFAULT '{}'::text[] NOT NULL,
    condition text,
    read_columns text[] NOT NULL,
    sync text NOT NULL,
    compare_every interval NOT NULL,
    row_security boolean DEFAULT false NOT NULL,
    attached_by text NOT NULL,
    attached_at timestamp with time zone DEFAULT now() NOT NULL,
    compared_at timestamp with time zone,
    compare_error text,
    shape text,
    documents_statement text,
    hashes_statement text,
    CONSTRAINT source_compare_every_check CHECK ((compare_every > '00:00:00'::interval)),
    CONSTRAINT source_sync_check CHECK ((sync = ANY (ARRAY['triggers'::text, 'comparison'::text]))),
    CONSTRAINT source_text_format_check CHECK ((text_format = ANY (ARRAY['plain'::text, 'html'::text, 'markdown'::text])))
);

COMMENT ON TABLE rankgres.source IS 'Attached relations. A collection without one keeps its documents in rankgres.document.';

COMMENT ON COLUMN rankgres.source.relation IS 'By oid, so that it survives a change of name; a dump writes the name.';

CREATE FUNCTION rankgres.source_shape_v1(source rankgres.source) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
    RETURN (
        SELECT concat_ws(
            ' ',
            pg_class.relnamespace::regnamespace,
            quote_ident(pg_class.relname),
            (
                SELECT string_agg(
                    concat_ws(
                        ' ', quote_ident(attname), format_type(atttypid, atttypmod), attcollation, attstorage
                    ),
                    ',' ORDER BY attnum
                )
                FROM pg_attribute
                WHERE attrelid = pg_class.oid
                    AND attnum > 0
                    AND NOT attisdropped
                    AND attname::text = ANY (source.read_columns)
            ),
            (
                SELECT string_agg(indexrelid::text, ',' ORDER BY indexrelid)
                FROM pg_index
                WHERE indrelid = pg_class.oid AND indisunique AND indisvalid
            ),
            (SELECT count(*) FROM pg_inherits WHERE inhparent = pg_class.oid)
        )
        FROM pg_class
        WHERE pg_class.oid = source.relation
    );
END
$$;

CREATE FUNCTION rankgres.source_statement_v1(read_collection bigint, kind text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    hash constant text := $hash$sha256(convert_to(
                concat(
                    length(read.title), ' ', read.title,
                    length(read.text), ' ', read.text,
                    read.metadata::text
                ),
                'UTF8'
            )) AS content_hash$hash$;
    returned constant text := 'read.document_id, '
        || CASE kind WHEN 'documents' THEN 'read.title, read.text, read.metadata, ' ELSE '' END
        || hash;
    source rankgres.source;
    -- The expressions of a document; fields as in source_row.
    document record;
    given text;
    matches text;
BEGIN
    SELECT * INTO source FROM rankgres.source WHERE collection_id = read_collection;
    IF NOT FOUND AND kind = 'ids' THEN
        RETURN format('SELECT id FROM rankgres.document WHERE collection_id = %s', read_collection);
    ELSIF NOT FOUND THEN
        RETURN format(
            $statement$
            SELECT %s
            FROM (
                SELECT id AS document_id, title, text, metadata FROM rankgres.document
                WHERE collection_id = %s%s
                OFFSET 0
            ) AS read$statement$,
            returned,
            read_collection,
            CASE kind WHEN 'documents' THEN ' AND id = ANY ($1)' ELSE '' END
        );
    END IF;
    SELECT * INTO document FROM rankgres.source_row_v1(read_collection);
    IF kind = 'ids' THEN
        RETURN format(
            'SELECT %s AS id FROM %s AS source_row WHERE %s IS NOT NULL',
            document.document_id, rankgres.source_name_v1(source.relation), document.document_id
        );
    END IF;
    IF kind = 'documents' THEN
        -- Casts to the keys' own types let an index find them. Compared as text as well: 1.0 and 1.00
        -- are equal keys, but documents of their own.
        SELECT
            CASE count(*)
                WHEN 1 THEN format(
                    '(
                        SELECT document_id, CASE WHEN pg_input_is_valid(document_id, %1$L)
                            THEN document_id::%2$s END AS key_1
                        FROM unnest($1) AS document_id
                    )',
                    max(type_name), max(type_name)
                )
                ELSE format(
                    '(
                        SELECT document_id, %s
                        FROM unnest($1) AS document_id
                        CROSS JOIN LATERAL (
                            SELECT CASE WHEN pg_input_is_valid(document_id, ''jsonb'')
                                THEN document_id::jsonb END AS parts
                            OFFSET 0
                        ) AS parsed
                    )',
                    string_agg(
                        format(
                            'CASE WHEN pg_input_is_valid(parts ->> %1$s, %2$L)
                                THEN (parts ->> %1$s)::%3$s END AS key_%4$s',
                            place - 1, type_name, type_name, place
                        ),
                        ', '
                    )
                )
            END,
            string_agg(
                format(
                    'source_row.%I OPERATOR(%I.=) given.key_%s',
                    name, operator_schema, place
                ),
                ' AND '
            )
        INTO given, matches
        FROM rankgres.source_columns_v1(source.relation, source.key_columns) WITH ORDINALITY AS key (
            name, as_text, as_jsonb, as_hashable, type_name, operator_schema, is_injective, is_settled,
            place
        );
    END IF;
    RETURN format(
        $statement$
        SELECT %s
            %s
        FROM (
            SELECT %s AS document_id, %s AS title, %s AS text, %s AS metadata
            FROM %s
            WHERE %s IS NOT NULL
            OFFSET 0
        ) AS read%s$statement$,
        -- The same one of those that no index keeps from having the same id.
        CASE WHEN document.repeated THEN 'DISTINCT ON (read.document_id)' ELSE '' END,
        returned,
        document.document_id,
        document.title,
        document.body,
        document.metadata,
        CASE kind
            WHEN 'documents' THEN format(
                '%s AS given JOIN %s ON %s AND %s = given.document_id',
                given, document.rows, matches, document.document_id
            )
            ELSE document.rows
        END,
        document.document_id,
        CASE WHEN document.repeated THEN ' ORDER BY read.document_id, content_hash' ELSE '' END
    );
END
$_$;

CREATE FUNCTION rankgres.source_store_v1(stored_collection bigint) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    UPDATE rankgres.source SET
        shape = rankgres.source_shape_v1(source),
        documents_statement = rankgres.source_statement_v1(stored_collection, 'documents'),
        hashes_statement = rankgres.source_statement_v1(stored_collection, 'hashes')
    WHERE collection_id = stored_collection
$$;

CREATE FUNCTION rankgres.source_tables_v1(source_relation oid) RETURNS TABLE(relation regclass, kind "char")
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    WITH RECURSIVE member (id) AS (
        SELECT source_relation
        UNION
        SELECT inhrelid FROM member JOIN pg_inherits ON inhparent = member.id
    )
    SELECT pg_class.oid::regclass, relkind
    FROM member
    JOIN pg_class ON pg_class.oid = member.id
    ORDER BY pg_class.oid
$$;

CREATE FUNCTION rankgres.source_template_v1(template text) RETURNS TABLE(literal text, column_name text)
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    part text;
BEGIN
    FOR part IN
        SELECT matched[1] FROM regexp_matches(
            template, '\{\{|\}\}|\{[^{}]+\}|[^{}]+|[{}]', 'g'
        ) WITH ORDINALITY AS match (matched, place)
        ORDER BY place
    LOOP
        CASE
            WHEN part IN ('{', '}') THEN
                RAISE EXCEPTION 'template has a brace that is not closed or not opened: %', template
                    USING ERRCODE = 'invalid_parameter_value', COLUMN = 'template',
                        HINT = 'write columns as {title}, and a brace itself as {{ or }}';
            WHEN part IN ('{{', '}}') THEN
                literal := left(part, 1);
                column_name := NULL;
            WHEN part LIKE '{%' THEN
                literal := NULL;
                column_name := substring(part FROM 2 FOR length(part) - 2);
            ELSE
                literal := part;
                column_name := NULL;
        END CASE;
        RETURN NEXT;
    END LOOP;
END
$$;

CREATE FUNCTION rankgres.source_triggers_v1(attached_collection bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
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
$_$;

CREATE FUNCTION rankgres.source_unreadable_v1(reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION 'the source cannot be read: %', reason
        USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = format('the role %I reads it: see rankgres.source', current_user);
END
$$;

CREATE FUNCTION rankgres.statistics_fold_v1(folded_generation bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    moved bigint;
    shrunk text [];
BEGIN
    IF NOT pg_try_advisory_xact_lock(
        hashtextextended('rankgres.statistics_fold', folded_generation)
    ) THEN
        RETURN 0;
    END IF;
    WITH change AS (
        DELETE FROM rankgres.chunk_total_change WHERE generation_id = folded_generation
        RETURNING chunk_count, document_count, lexical_length
    )
    INSERT INTO rankgres.chunk_total (generation_id, chunk_count, document_count, lexical_length)
    SELECT folded_generation, sum(chunk_count), sum(document_count), sum(lexical_length)
    FROM change
    HAVING count(*) > 0
    ON CONFLICT (generation_id) DO UPDATE SET
        chunk_count = chunk_total.chunk_count + excluded.chunk_count,
        document_count = chunk_total.document_count + excluded.document_count,
        lexical_length = chunk_total.lexical_length + excluded.lexical_length;

    WITH change AS (
        DELETE FROM rankgres.lexeme_change WHERE generation_id = folded_generation
        RETURNING lexeme, chunk_count
    ),
    net AS (
        SELECT lexeme, sum(chunk_count) AS difference, count(*) AS changes
        FROM change
        GROUP BY lexeme
    ),
    folded AS (
        INSERT INTO rankgres.lexeme (generation_id, lexeme, chunk_count)
        SELECT folded_generation, lexeme, difference FROM net WHERE difference <> 0
        ON CONFLICT (generation_id, lexeme) DO UPDATE SET
            chunk_count = lexeme.chunk_count + excluded.chunk_count
    )
    SELECT coalesce(sum(changes), 0), array_agg(lexeme) FILTER (WHERE difference < 0)
    INTO moved, shrunk
    FROM net;
    -- Only what shrank can have come to nothing; a look at every lexeme would cost each fold.
    DELETE FROM rankgres.lexeme
    WHERE generation_id = folded_generation AND lexeme = ANY (shrunk) AND chunk_count = 0;
    RETURN moved;
END
$$;

CREATE FUNCTION rankgres.suggest(collection text, prefix text, suggestions integer DEFAULT 10) RETURNS TABLE(suggestion text, kind text, chunk_count bigint)
    LANGUAGE sql STABLE
    AS $$
    SELECT * FROM rankgres.suggest_v1(collection, prefix, suggestions)
$$;

CREATE FUNCTION rankgres.suggest_v1(collection text, prefix text, suggestions integer) RETURNS TABLE(suggestion text, kind text, chunk_count bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
#variable_conflict use_column
DECLARE
    max_titles constant integer := 100;
    max_counted constant integer := 1000;
    max_lexemes constant integer := 100000;
    last_letter constant text := U&'\+10FFFF';
    -- As the index has them, so that it is used.
    title constant text := 'lower(left(split_part(heading, '' > '', 1), 200)) COLLATE "C"';
    titled constant text := 'heading <> '''' AND heading NOT LIKE ''…%''';
    searched_generation bigint;
    strip_accents boolean;
    typed text := lower(regexp_replace(left(coalesce(prefix, ''), 1024), '^\s+', ''));
    -- Without the quotes and brackets that it may begin with.
    last_word text := ltrim(substring(typed FROM '[^\s]*$'), '"''([{<+-');
    before_it text := left(typed, length(typed) - length(last_word));
BEGIN
    IF suggestions IS NULL OR suggestions NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'suggestions must be between 1 and 1000, not %', suggestions
            USING ERRCODE = 'invalid_parameter_value',
                COLUMN = 'suggestions',
                HINT = 'ask for 10';
    END IF;
    SELECT generation.id, generation.text_search_config LIKE 'unaccent+%'
    INTO searched_generation, strip_accents
    FROM rankgres.generation
    JOIN rankgres.collection AS searched ON searched.id = generation.collection_id
    WHERE searched.name = suggest_v1.collection AND generation.state = 'active';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'collection "%" does not exist', collection
            USING ERRCODE = 'undefined_object',
                HINT = 'SELECT name FROM rankgres.collection';
    END IF;
    -- As lexemes are; a word that the analysis takes apart has none that begins with all of it.
    last_word := btrim(rankgres.lexemes_words_v1(last_word, strip_accents));
    IF last_word LIKE '% %' THEN
        last_word := '';
    END IF;
    RETURN QUERY EXECUTE format(
        $statement$
        WITH RECURSIVE title (key, step) AS (
            (
                SELECT %2$s, 1 FROM rankgres.%1$I
                WHERE %3$s AND $1 <> '' AND %2$s >= $1 AND %2$s < $1 || $3
                ORDER BY %2$s LIMIT 1
            )
            UNION ALL
            SELECT
                (
                    SELECT %2$s FROM rankgres.%1$I
                    WHERE %3$s AND %2$s > title.key AND %2$s < $1 || $3
                    ORDER BY %2$s LIMIT 1
                ),
                step + 1
            FROM title
            WHERE title.key IS NOT NULL AND step < $5
        ),
        heading AS (
            SELECT
                (
                    SELECT split_part(heading, ' > ', 1) FROM rankgres.%1$I
                    WHERE %3$s AND %2$s = title.key LIMIT 1
                ) AS suggestion,
                'heading' AS kind,
                (
                    SELECT count(*) FROM (
                        SELECT FROM rankgres.%1$I WHERE %3$s AND %2$s = title.key LIMIT $6
                    ) AS chunk
                ) AS chunk_count
            FROM title
            WHERE title.key IS NOT NULL
        ),
        -- Those that most chunks had when changes were last folded in, and all that changed since.
        candidate AS (
            (
                SELECT lexeme FROM (
                    SELECT lexeme, chunk_count FROM rankgres.lexeme
                    WHERE generation_id = %4$L AND $2 <> '' AND lexeme >= $2 AND lexeme < $2 || $3
                    LIMIT $7
                ) AS base
                ORDER BY chunk_count DESC, lexeme LIMIT 2 * $4
            )
            UNION
            SELECT lexeme FROM (
                SELECT lexeme FROM rankgres.lexeme_change
                WHERE generation_id = %4$L AND $2 <> '' AND lexeme >= $2 AND lexeme < $2 || $3
                LIMIT $7
            ) AS change
        ),
        lexeme AS (
            SELECT
                $8 || counted.lexeme AS suggestion,
                'lexeme' AS kind,
                counted.chunk_count
            FROM rankgres.query_lexemes_v2(
                %4$L, ARRAY(SELECT lexeme FROM candidate), NULL
            ) AS counted
            ORDER BY counted.chunk_count DESC, counted.lexeme COLLATE "C" LIMIT $4
        ),
        ranked AS (
            SELECT *, row_number() OVER (
                PARTITION BY kind ORDER BY chunk_count DESC, suggestion COLLATE "C"
            ) AS place
            FROM (SELECT * FROM heading UNION ALL SELECT * FROM lexeme) AS found
        )
        SELECT suggestion, kind, chunk_count FROM ranked ORDER BY place, kind LIMIT $4
        $statement$,
        'chunk_' || searched_generation,
        title,
        titled,
        searched_generation
    ) USING typed, last_word, last_letter, suggestions, max_titles, max_counted, max_lexemes,
        before_it;
END
$_$;

CREATE FUNCTION rankgres.textsearch_word_v1(lexeme text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $_$
    SELECT CASE
        WHEN lexeme ~ '^([a-z]+|[0-9]+)$' THEN lexeme
        -- A word of more than 2046 bytes would be dropped.
        WHEN octet_length(lexeme) > 1000 THEN 'x1' || md5(lexeme)
        ELSE 'x0' || encode(convert_to(lexeme, 'UTF8'), 'hex')
    END
$_$;

CREATE FUNCTION rankgres.verify(collection text, repair boolean DEFAULT false) RETURNS TABLE(kind text, documents bigint, examples text[])
    LANGUAGE sql
    AS $$
    SELECT * FROM rankgres.verify_v1(collection, repair)
$$;

CREATE FUNCTION rankgres.verify_v1(collection text, repair boolean DEFAULT false) RETURNS TABLE(kind text, documents bigint, examples text[])
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    verified constant bigint := rankgres.source_authorize_v1(verify_v1.collection);
BEGIN
    RETURN QUERY
    SELECT found.kind, sum(found.documents)::bigint, max(found.examples)
    FROM rankgres.generation
    CROSS JOIN LATERAL rankgres.generation_verify_v1(generation.id, repair) AS found
    WHERE generation.collection_id = verified AND generation.state IN ('building', 'active')
    GROUP BY found.kind;
END
$$;

CREATE TABLE rankgres.alembic_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE rankgres.backfill (
    generation_id bigint NOT NULL,
    after_key text[],
    estimated_rows bigint NOT NULL,
    queued_rows bigint DEFAULT 0 NOT NULL,
    rows_per_second double precision,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    stepped_at timestamp with time zone,
    finished_at timestamp with time zone,
    CONSTRAINT backfill_rows_per_second_check CHECK ((rows_per_second > (0)::double precision))
);

COMMENT ON COLUMN rankgres.backfill.rows_per_second IS 'The throttle; NULL: as fast as workers are.';

CREATE TABLE rankgres.calibration (
    collection_id bigint NOT NULL,
    target text NOT NULL,
    model text NOT NULL,
    method text NOT NULL,
    points jsonb NOT NULL,
    judged_queries integer NOT NULL,
    figures jsonb DEFAULT '{}'::jsonb NOT NULL,
    search_profile jsonb NOT NULL,
    fitted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT calibration_figures_check CHECK ((jsonb_typeof(figures) = 'object'::text)),
    CONSTRAINT calibration_judged_queries_check CHECK ((judged_queries > 0)),
    CONSTRAINT calibration_method_check CHECK ((method = ANY (ARRAY['platt'::text, 'isotonic'::text]))),
    CONSTRAINT calibration_points_check CHECK ((jsonb_typeof(points) = 'array'::text)),
    CONSTRAINT calibration_target_check CHECK ((target = ANY (ARRAY['rerank'::text, 'fused'::text])))
);

COMMENT ON TABLE rankgres.calibration IS 'How a score becomes a relevance between 0 and 1, as judgements of a collection have it.';

COMMENT ON COLUMN rankgres.calibration.target IS 'rerank: the raw score of the cross-encoder "model"; fused: that of the fusion, with the bi-encoder "model".';

COMMENT ON COLUMN rankgres.calibration.search_profile IS 'The collection''s when the scores were made: under another one, fused scores mean another thing.';

CREATE TABLE rankgres.chunk (
    generation_id bigint NOT NULL,
    document_id text NOT NULL,
    "position" integer NOT NULL,
    token_count integer NOT NULL,
    start_offset integer NOT NULL,
    end_offset integer NOT NULL,
    lexical_length integer NOT NULL,
    heading text NOT NULL,
    text text NOT NULL,
    filters jsonb NOT NULL,
    lexemes tsvector NOT NULL,
    embedding public.halfvec,
    embedding_full public.vector,
    textsearch_words text
)
PARTITION BY LIST (generation_id);
ALTER TABLE ONLY rankgres.chunk ALTER COLUMN lexemes SET STORAGE MAIN;
ALTER TABLE ONLY rankgres.chunk ALTER COLUMN embedding SET STORAGE MAIN;
ALTER TABLE ONLY rankgres.chunk ALTER COLUMN embedding_full SET STORAGE MAIN;

COMMENT ON TABLE rankgres.chunk IS 'What is searched. One partition a generation, each with its own GIN and HNSW indexes.';

COMMENT ON COLUMN rankgres.chunk.start_offset IS 'Characters into the document''s text.';

COMMENT ON COLUMN rankgres.chunk.embedding_full IS 'Set instead of embedding where the generation stores full precision.';

COMMENT ON COLUMN rankgres.chunk.textsearch_words IS 'The lexemes spelled as words; NULL unless the generation has an index of pg_textsearch.';

CREATE TABLE rankgres.chunk_total (
    generation_id bigint NOT NULL,
    chunk_count bigint NOT NULL,
    document_count bigint NOT NULL,
    lexical_length bigint NOT NULL
);

CREATE TABLE rankgres.chunk_total_change (
    generation_id bigint NOT NULL,
    chunk_count integer NOT NULL,
    document_count integer NOT NULL,
    lexical_length bigint NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.05');

CREATE TABLE rankgres.collection (
    id bigint NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    search_profile jsonb DEFAULT '{}'::jsonb NOT NULL,
    paused_at timestamp with time zone,
    detached_at timestamp with time zone,
    verified_at timestamp with time zone,
    rerank_profile jsonb,
    CONSTRAINT collection_name_check CHECK ((name ~ '^[a-z][a-z0-9_-]{0,62}$'::text)),
    CONSTRAINT collection_rerank_profile_check CHECK ((jsonb_typeof(rerank_profile) = 'object'::text)),
    CONSTRAINT collection_search_profile_check CHECK ((jsonb_typeof(search_profile) = 'object'::text))
);

COMMENT ON TABLE rankgres.collection IS 'A named set of documents.';

COMMENT ON COLUMN rankgres.collection.search_profile IS 'Parameters of search_candidates that searches of this collection use unless they say otherwise.';

COMMENT ON COLUMN rankgres.collection.paused_at IS 'Since when no worker takes documents of the collection; changes are queued all the same.';

COMMENT ON COLUMN rankgres.collection.detached_at IS 'Since when it has no source and is kept as it was: its index is its own truth.';

COMMENT ON COLUMN rankgres.collection.verified_at IS 'When source and index were last compared by verify; NULL: never.';

COMMENT ON COLUMN rankgres.collection.rerank_profile IS 'Weight, depth and adaptive policy of reranking, for searches that do not say; NULL: defaults.';

ALTER TABLE rankgres.collection ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME rankgres.collection_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE rankgres.indexing_activity (
    generation_id bigint NOT NULL,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    documents integer NOT NULL,
    chunks_embedded integer NOT NULL,
    chunks_reused integer NOT NULL
);

COMMENT ON TABLE rankgres.indexing_activity IS 'What workers finished in the last hour.';

CREATE SEQUENCE rankgres.outbox_version
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE rankgres.outbox (
    generation_id bigint NOT NULL,
    document_id text NOT NULL,
    version bigint DEFAULT nextval('rankgres.outbox_version'::regclass) NOT NULL,
    enqueued_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    due_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    lease uuid,
    attempts integer DEFAULT 0 NOT NULL,
    last_error text,
    dead_at timestamp with time zone,
    priority smallint DEFAULT 0 NOT NULL
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='1000');

COMMENT ON COLUMN rankgres.outbox.version IS 'From a sequence, so that a version never returns, not even for a key deleted and made anew.';

COMMENT ON COLUMN rankgres.outbox.due_at IS 'When it may be claimed: at once, at the end of a lease, or after a failed try''s backoff.';

CREATE TABLE rankgres.source_change (
    id bigint NOT NULL,
    collection_id bigint NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    document_ids text[],
    reason text
)
WITH (autovacuum_vacuum_scale_factor='0.05', autovacuum_vacuum_threshold='1000');

COMMENT ON COLUMN rankgres.source_change.document_ids IS 'NULL: what changed is not known, for the reason given; the source is to be compared.';

CREATE VIEW rankgres.collection_status AS
 SELECT collection.name AS collection,
    generation.id AS generation_id,
    generation.state,
    generation.embedding_model,
    generation.hnsw_state,
    COALESCE(total.documents, (0)::bigint) AS documents,
    COALESCE(total.chunks, (0)::bigint) AS chunks,
    (queue.pending + COALESCE(change.pending, (0)::bigint)) AS pending,
    queue.leased,
    queue.dead,
    GREATEST(queue.oldest_age, change.oldest_age) AS oldest_age,
    (collection.paused_at IS NOT NULL) AS paused,
        CASE
            WHEN (source.collection_id IS NOT NULL) THEN COALESCE(( SELECT format('%s.%I'::text, (pg_class.relnamespace)::regnamespace, pg_class.relname) AS format
               FROM pg_class
              WHERE (pg_class.oid = (source.relation)::oid)), 'a relation that was dropped'::text)
            ELSE NULL::text
        END AS source,
    LEAST(backfill.done, backfill.total) AS backfill_done,
    backfill.total AS backfill_total,
    recent.rate,
        CASE
            WHEN (work.documents = 0) THEN (0)::double precision
            WHEN (collection.paused_at IS NULL) THEN ((work.documents)::double precision / NULLIF(recent.rate, (0)::double precision))
            ELSE NULL::double precision
        END AS seconds_left,
    GREATEST(queue.lag, change.oldest_age) AS lag
   FROM ((((((((rankgres.collection
     JOIN rankgres.generation ON ((generation.collection_id = collection.id)))
     LEFT JOIN rankgres.source ON ((source.collection_id = collection.id)))
     LEFT JOIN LATERAL ( SELECT (sum(part.document_count))::bigint AS documents,
            (sum(part.chunk_count))::bigint AS chunks
           FROM ( SELECT chunk_total.document_count,
                    chunk_total.chunk_count
                   FROM rankgres.chunk_total
                  WHERE (chunk_total.generation_id = generation.id)
                UNION ALL
                 SELECT chunk_total_change.document_count,
                    chunk_total_change.chunk_count
                   FROM rankgres.chunk_total_change
                  WHERE (chunk_total_change.generation_id = generation.id)) part) total ON (true))
     LEFT JOIN LATERAL ( SELECT count(*) FILTER (WHERE ((outbox.dead_at IS NULL) AND ((outbox.lease IS NULL) OR (outbox.due_at <= clock_timestamp())))) AS pending,
            count(*) FILTER (WHERE ((outbox.dead_at IS NULL) AND (outbox.lease IS NOT NULL) AND (outbox.due_at > clock_timestamp()))) AS leased,
            count(outbox.dead_at) AS dead,
            count(*) FILTER (WHERE ((outbox.dead_at IS NULL) AND (outbox.priority > 0))) AS unhurried,
            (clock_timestamp() - min(outbox.enqueued_at) FILTER (WHERE (outbox.dead_at IS NULL))) AS oldest_age,
            (clock_timestamp() - min(outbox.enqueued_at) FILTER (WHERE ((outbox.dead_at IS NULL) AND (outbox.priority = 0)))) AS lag
           FROM rankgres.outbox
          WHERE (outbox.generation_id = generation.id)) queue ON (true))
     LEFT JOIN LATERAL ( SELECT sum(COALESCE(cardinality(source_change.document_ids), 1)) AS pending,
            (clock_timestamp() - min(source_change.changed_at)) AS oldest_age
           FROM rankgres.source_change
          WHERE ((source_change.collection_id = collection.id) AND (generation.state = ANY (ARRAY['building'::text, 'active'::text])))) change ON (true))
     LEFT JOIN LATERAL ( SELECT GREATEST((backfill_1.queued_rows - queue.unhurried), (0)::bigint) AS done,
                CASE
                    WHEN (backfill_1.finished_at IS NULL) THEN GREATEST(backfill_1.estimated_rows, (backfill_1.queued_rows + 1))
                    ELSE backfill_1.queued_rows
                END AS total,
                CASE
                    WHEN (backfill_1.finished_at IS NULL) THEN GREATEST((backfill_1.estimated_rows - backfill_1.queued_rows), (1)::bigint)
                    ELSE (0)::bigint
                END AS unqueued
           FROM rankgres.backfill backfill_1
          WHERE (backfill_1.generation_id = generation.id)) backfill ON (true))
     LEFT JOIN LATERAL ( SELECT (COALESCE(((sum(indexing_activity.documents))::numeric / GREATEST(EXTRACT(epoch FROM (clock_timestamp() - min(indexing_activity.finished_at))), (5)::numeric)), (0)::numeric))::double precision AS rate
           FROM rankgres.indexing_activity
          WHERE ((indexing_activity.generation_id = generation.id) AND (indexing_activity.finished_at > (clock_timestamp() - '00:01:00'::interval)))) recent ON (true))
     CROSS JOIN LATERAL ( SELECT (((queue.pending + queue.leased) + COALESCE(change.pending, (0)::bigint)) + COALESCE(backfill.unqueued, (0)::bigint)) AS documents) work);

COMMENT ON VIEW rankgres.collection_status IS 'One row a generation: what is searchable, what still waits, and how fast it is going.';

COMMENT ON COLUMN rankgres.collection_status.rate IS 'Documents finished per second, of the last minute.';

COMMENT ON COLUMN rankgres.collection_status.lag IS 'Age of the oldest change that is not searchable yet, backfill and repair aside; NULL: none.';

CREATE VIEW rankgres.dead_letter AS
 SELECT collection.name AS collection,
    outbox.generation_id,
    outbox.document_id,
    outbox.attempts,
    outbox.last_error,
    outbox.enqueued_at,
    outbox.dead_at,
        CASE
            WHEN (outbox.dead_at IS NULL) THEN outbox.due_at
            ELSE NULL::timestamp with time zone
        END AS next_try_at
   FROM ((rankgres.outbox
     JOIN rankgres.generation ON ((generation.id = outbox.generation_id)))
     JOIN rankgres.collection ON ((collection.id = generation.collection_id)))
  WHERE ((outbox.dead_at IS NOT NULL) OR (outbox.last_error IS NOT NULL));

COMMENT ON VIEW rankgres.dead_letter IS 'Documents that failed: for good since dead_at, or to be tried again at next_try_at.';

CREATE TABLE rankgres.document (
    collection_id bigint NOT NULL,
    id text NOT NULL,
    title text DEFAULT ''::text NOT NULL,
    text text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT document_id_check CHECK (((id <> ''::text) AND (octet_length(id) <= 1024))),
    CONSTRAINT document_metadata_check CHECK ((jsonb_typeof(metadata) = 'object'::text))
);

COMMENT ON TABLE rankgres.document IS 'The managed table: documents that live in Rankgres itself.';

CREATE TABLE rankgres.embedding_model (
    name text NOT NULL,
    dimension integer NOT NULL,
    max_tokens integer NOT NULL,
    foreign_configs text[] DEFAULT '{}'::text[] NOT NULL,
    is_default boolean DEFAULT false NOT NULL
);

COMMENT ON TABLE rankgres.embedding_model IS 'The model cards, for those who attach with SQL alone.';

CREATE TABLE rankgres.filter_field (
    generation_id bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C"
);

COMMENT ON TABLE rankgres.filter_field IS 'The filter fields that chunks of a generation have or had; a name may stand more than once.';

ALTER TABLE rankgres.generation ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME rankgres.generation_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE rankgres.generation_language (
    generation_id bigint NOT NULL,
    text_search_config text NOT NULL COLLATE pg_catalog."C"
);

COMMENT ON TABLE rankgres.generation_language IS 'The text-search configurations that chunks of a generation have or had instead of its own.';

CREATE TABLE rankgres.indexed_document (
    generation_id bigint NOT NULL,
    document_id text NOT NULL,
    content_hash bytea,
    chunk_count integer NOT NULL,
    indexed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
WITH (fillfactor='90');

COMMENT ON COLUMN rankgres.indexed_document.content_hash IS 'Of what was read from the source: see source_documents. NULL: indexed before hashes were kept.';

CREATE TABLE rankgres.lexeme (
    generation_id bigint NOT NULL,
    lexeme text NOT NULL COLLATE pg_catalog."C",
    chunk_count bigint NOT NULL
)
WITH (fillfactor='80');

CREATE TABLE rankgres.lexeme_change (
    generation_id bigint NOT NULL,
    lexeme text NOT NULL COLLATE pg_catalog."C",
    chunk_count integer NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.05');

CREATE UNLOGGED TABLE rankgres.search_snapshot (
    id uuid NOT NULL,
    generation_id bigint NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    request jsonb NOT NULL,
    ranking jsonb NOT NULL
);

COMMENT ON TABLE rankgres.search_snapshot IS 'Final lists of searches that page, until they expire: ids, positions, scores; no texts.';

ALTER TABLE rankgres.source_change ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME rankgres.source_change_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY rankgres.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY rankgres.backfill
    ADD CONSTRAINT backfill_pkey PRIMARY KEY (generation_id);

ALTER TABLE ONLY rankgres.calibration
    ADD CONSTRAINT calibration_pkey PRIMARY KEY (collection_id, target, model);

ALTER TABLE ONLY rankgres.chunk
    ADD CONSTRAINT chunk_pkey PRIMARY KEY (generation_id, document_id, "position");

ALTER TABLE ONLY rankgres.chunk_total
    ADD CONSTRAINT chunk_total_pkey PRIMARY KEY (generation_id);

ALTER TABLE ONLY rankgres.collection
    ADD CONSTRAINT collection_name_key UNIQUE (name);

ALTER TABLE ONLY rankgres.collection
    ADD CONSTRAINT collection_pkey PRIMARY KEY (id);

ALTER TABLE ONLY rankgres.document
    ADD CONSTRAINT document_pkey PRIMARY KEY (collection_id, id);

ALTER TABLE ONLY rankgres.embedding_model
    ADD CONSTRAINT embedding_model_pkey PRIMARY KEY (name);

ALTER TABLE ONLY rankgres.generation
    ADD CONSTRAINT generation_pkey PRIMARY KEY (id);

ALTER TABLE ONLY rankgres.indexed_document
    ADD CONSTRAINT indexed_document_pkey PRIMARY KEY (generation_id, document_id);

ALTER TABLE ONLY rankgres.lexeme
    ADD CONSTRAINT lexeme_pkey PRIMARY KEY (generation_id, lexeme);

ALTER TABLE ONLY rankgres.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (generation_id, document_id);

ALTER TABLE ONLY rankgres.search_snapshot
    ADD CONSTRAINT search_snapshot_pkey PRIMARY KEY (id);

ALTER TABLE ONLY rankgres.source_change
    ADD CONSTRAINT source_change_pkey PRIMARY KEY (id);

ALTER TABLE ONLY rankgres.source
    ADD CONSTRAINT source_pkey PRIMARY KEY (collection_id);

CREATE INDEX chunk_total_change_generation ON rankgres.chunk_total_change USING btree (generation_id);

CREATE INDEX filter_field_name ON rankgres.filter_field USING btree (generation_id, name);

CREATE INDEX generation_language_generation ON rankgres.generation_language USING btree (generation_id);

CREATE UNIQUE INDEX generation_one_active ON rankgres.generation USING btree (collection_id) WHERE (state = 'active'::text);

CREATE UNIQUE INDEX generation_one_building ON rankgres.generation USING btree (collection_id) WHERE (state = 'building'::text);

CREATE INDEX indexing_activity_finished_at ON rankgres.indexing_activity USING btree (generation_id, finished_at);

CREATE INDEX lexeme_change_lexeme ON rankgres.lexeme_change USING btree (generation_id, lexeme);

CREATE INDEX outbox_due ON rankgres.outbox USING btree (generation_id, priority, due_at, document_id) WHERE (dead_at IS NULL);

CREATE TRIGGER document_delete_to_outbox AFTER DELETE ON rankgres.document REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION rankgres.document_to_outbox_v1();

CREATE TRIGGER document_insert_to_outbox AFTER INSERT ON rankgres.document REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION rankgres.document_to_outbox_v1();

CREATE TRIGGER document_truncate_to_outbox AFTER TRUNCATE ON rankgres.document FOR EACH STATEMENT EXECUTE FUNCTION rankgres.document_to_outbox_v1();

CREATE TRIGGER document_update_to_outbox AFTER UPDATE ON rankgres.document REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION rankgres.document_to_outbox_v1();

ALTER TABLE ONLY rankgres.backfill
    ADD CONSTRAINT backfill_generation_id_fkey FOREIGN KEY (generation_id) REFERENCES rankgres.generation(id) ON DELETE CASCADE;

ALTER TABLE ONLY rankgres.calibration
    ADD CONSTRAINT calibration_collection_id_fkey FOREIGN KEY (collection_id) REFERENCES rankgres.collection(id) ON DELETE CASCADE;

ALTER TABLE ONLY rankgres.document
    ADD CONSTRAINT document_collection_id_fkey FOREIGN KEY (collection_id) REFERENCES rankgres.collection(id) ON DELETE CASCADE;

ALTER TABLE ONLY rankgres.filter_field
    ADD CONSTRAINT filter_field_generation_id_fkey FOREIGN KEY (generation_id) REFERENCES rankgres.generation(id) ON DELETE CASCADE;

ALTER TABLE ONLY rankgres.generation
    ADD CONSTRAINT generation_collection_id_fkey FOREIGN KEY (collection_id) REFERENCES rankgres.collection(id) ON DELETE CASCADE;

ALTER TABLE ONLY rankgres.generation_language
    ADD CONSTRAINT generation_language_generation_id_fkey FOREIGN KEY (generation_id) REFERENCES rankgres.generation(id) ON DELETE CASCADE;

ALTER TABLE ONLY rankgres.source
    ADD CONSTRAINT source_collection_id_fkey FOREIGN KEY (collection_id) REFERENCES rankgres.collection(id) ON DELETE CASCADE;

ALTER TABLE rankgres.chunk ENABLE ROW LEVEL SECURITY;

CREATE POLICY chunk_open ON rankgres.chunk FOR SELECT USING ((generation_id <> ALL (( SELECT rankgres.generation_secured_v1() AS generation_secured_v1)::bigint[])));

ALTER TABLE rankgres.lexeme ENABLE ROW LEVEL SECURITY;

ALTER TABLE rankgres.lexeme_change ENABLE ROW LEVEL SECURITY;

CREATE POLICY lexeme_change_open ON rankgres.lexeme_change FOR SELECT USING ((generation_id <> ALL (( SELECT rankgres.generation_secured_v1() AS generation_secured_v1)::bigint[])));

CREATE POLICY lexeme_open ON rankgres.lexeme FOR SELECT USING ((generation_id <> ALL (( SELECT rankgres.generation_secured_v1() AS generation_secured_v1)::bigint[])));
