-- What the migrations make, on Postgres 18. Written by: make schema-dump
CREATE SCHEMA rankgres;

CREATE TYPE rankgres.ranked_chunk AS (
	document_id text,
	"position" integer,
	score double precision,
	rank bigint,
	passage bigint
);

CREATE FUNCTION rankgres.chunk_replace_v1(replaced_generation bigint, documents text[], document_ids text[], positions integer[], token_counts integer[], start_offsets integer[], end_offsets integer[], headings text[], texts text[], filters jsonb[], embeddings public.vector[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    generation rankgres.generation;
    -- Appends what a set of chunks named touched, times a sign, to the statistics.
    account constant text := $statement$,
        lexeme_difference AS (
            INSERT INTO rankgres.lexeme_change (generation_id, lexeme, chunk_count)
            SELECT %2$L, lexeme, %3$s * count(*)
            FROM touched CROSS JOIN LATERAL unnest(tsvector_to_array(lexemes)) AS lexeme
            GROUP BY lexeme
        )
        INSERT INTO rankgres.chunk_total_change (
            generation_id, chunk_count, document_count, lexical_length
        )
        SELECT %2$L, %3$s * count(*), %3$s * count(DISTINCT document_id), %3$s * sum(lexical_length)
        FROM touched
        HAVING count(*) > 0
        $statement$;
BEGIN
    -- Locked, so that a drop waits for this batch instead of taking the table from under it.
    SELECT * INTO generation FROM rankgres.generation WHERE id = replaced_generation
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'generation % does not exist', replaced_generation
            USING ERRCODE = 'undefined_object';
    END IF;
    EXECUTE format(
        $statement$
        WITH touched AS (
            DELETE FROM rankgres.%1$I WHERE document_id = ANY ($1)
            RETURNING document_id, lexemes, lexical_length
        )$statement$ || account,
        'chunk_' || replaced_generation,
        replaced_generation,
        '-1'
    ) USING documents;
    EXECUTE format(
        $statement$
        WITH given AS MATERIALIZED (
            SELECT
                chunk.*,
                setweight(to_tsvector(%4$L, heading), 'A')
                    || setweight(to_tsvector(%4$L, text), 'D') AS lexemes
            FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) AS chunk (
                document_id, position, token_count, start_offset, end_offset, heading, text,
                filters, embedding
            )
        ),
        touched AS (
            INSERT INTO rankgres.%1$I (
                generation_id, document_id, position, token_count, start_offset, end_offset,
                heading, text, filters, lexemes, %5$I, lexical_length
            )
            SELECT
                %2$L, document_id, position, token_count, start_offset, end_offset,
                heading, text, filters, lexemes, embedding,
                (SELECT coalesce(sum(coalesce(cardinality(positions), 1)), 0) FROM unnest(lexemes))
            FROM given
            RETURNING document_id, lexemes, lexical_length
        )$statement$ || account,
        'chunk_' || replaced_generation,
        replaced_generation,
        '1',
        generation.text_search_config,
        CASE generation.storage_type WHEN 'vector' THEN 'embedding_full' ELSE 'embedding' END
    ) USING document_ids, positions, token_counts, start_offsets, end_offsets, headings, texts,
        filters, embeddings;
END
$_$;

CREATE FUNCTION rankgres.collection_create_v1(collection_name text, embedding_model text, embedding_dimension integer, chunk_tokens integer, overlap_tokens integer, storage_type text DEFAULT 'halfvec'::text, distance text DEFAULT 'cosine'::text, text_search_config text DEFAULT 'english'::text, bm25_k1 double precision DEFAULT 1.2, bm25_b double precision DEFAULT 0.75, hnsw_m integer DEFAULT 16, hnsw_ef_construction integer DEFAULT 100) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    new_collection bigint;
    new_generation bigint;
    new_partition text;
BEGIN
    BEGIN
        PERFORM text_search_config::regconfig;
    EXCEPTION WHEN undefined_object OR invalid_schema_name OR syntax_error OR invalid_name THEN
        RAISE EXCEPTION 'text_search_config "%" does not exist', text_search_config
            USING ERRCODE = 'invalid_parameter_value',
                COLUMN = 'text_search_config',
                HINT = 'use one of: ' || (
                    SELECT string_agg(cfgname::text, ', ' ORDER BY cfgname) FROM pg_ts_config
                );
    END;
    INSERT INTO rankgres.collection (name) VALUES (collection_name) RETURNING id INTO new_collection;
    INSERT INTO rankgres.generation (
        collection_id, state, activated_at, embedding_model, embedding_dimension, storage_type,
        distance, chunk_tokens, overlap_tokens, text_search_config, bm25_k1, bm25_b, hnsw_m,
        hnsw_ef_construction
    ) VALUES (
        new_collection, 'active', now(), embedding_model, embedding_dimension, storage_type,
        distance, chunk_tokens, overlap_tokens, text_search_config, bm25_k1, bm25_b, hnsw_m,
        hnsw_ef_construction
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
    RETURN new_collection;
END
$_$;

CREATE FUNCTION rankgres.collection_drop_v1(collection_name text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    dropped_collection bigint;
    dropped_generations bigint [];
    dropped_generation bigint;
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
    RETURN true;
END
$$;

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

CREATE FUNCTION rankgres.filter_condition_v1(filter jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
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
            USING ERRCODE = 'invalid_parameter_value', HINT = hint, COLUMN = 'filter';
    END IF;
    FOR member IN SELECT * FROM jsonb_each(filter) LOOP
        IF member.key IN ('and', 'or') THEN
            IF jsonb_typeof(member.value) <> 'array' OR jsonb_array_length(member.value) = 0 THEN
                RAISE EXCEPTION '"%" takes a list of filters, not %', member.key, member.value
                    USING ERRCODE = 'invalid_parameter_value', HINT = hint, COLUMN = 'filter';
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
                USING ERRCODE = 'invalid_parameter_value', HINT = 'use {"in": [values]}',
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
                    'exists(%s ? (@ %s %s))',
                    path, operators ->> operation.key, operation.value
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

CREATE FUNCTION rankgres.filter_to_jsonpath_v1(filter jsonb) RETURNS jsonpath
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    condition text := rankgres.filter_condition_v1(coalesce(filter, '{}'));
BEGIN
    RETURN CASE WHEN condition <> '' THEN condition::jsonpath END;
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
    CONSTRAINT generation_overlap_tokens_check CHECK (((overlap_tokens >= 0) AND (overlap_tokens <= (chunk_tokens / 2)))),
    CONSTRAINT generation_state_check CHECK ((state = ANY (ARRAY['building'::text, 'active'::text, 'retired'::text]))),
    CONSTRAINT generation_storage_type_check CHECK ((storage_type = ANY (ARRAY['halfvec'::text, 'vector'::text, 'bit'::text])))
);

COMMENT ON TABLE rankgres.generation IS 'One immutable index configuration of a collection; only states and times ever change.';

COMMENT ON COLUMN rankgres.generation.text_search_config IS 'Name, not regconfig: pg_upgrade refuses tables with regconfig columns.';

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

CREATE FUNCTION rankgres.outbox_claim_v1(claimed_generation bigint, batch_size integer, lease_for interval, max_attempts integer) RETURNS TABLE(document_id text, version bigint, lease uuid, attempts integer)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    new_lease uuid := gen_random_uuid();
BEGIN
    RETURN QUERY
    WITH due AS (
        SELECT outbox.document_id, outbox.attempts >= max_attempts AS exhausted
        FROM rankgres.outbox
        WHERE generation_id = claimed_generation
            AND dead_at IS NULL
            AND due_at <= clock_timestamp()
        ORDER BY due_at, document_id
        LIMIT batch_size
        FOR UPDATE SKIP LOCKED
    ),
    leased AS (
        UPDATE rankgres.outbox SET
            lease = CASE WHEN NOT due.exhausted THEN new_lease END,
            due_at = clock_timestamp() + lease_for,
            attempts = outbox.attempts + CASE WHEN due.exhausted THEN 0 ELSE 1 END,
            dead_at = CASE WHEN due.exhausted THEN clock_timestamp() END,
            last_error = CASE
                WHEN due.exhausted THEN coalesce(
                    outbox.last_error,
                    format('no worker finished it in %s leases', outbox.attempts)
                )
                ELSE outbox.last_error
            END
        FROM due
        WHERE outbox.generation_id = claimed_generation
            AND outbox.document_id = due.document_id
        RETURNING outbox.document_id, outbox.version, outbox.lease, outbox.attempts
    )
    SELECT leased.document_id, leased.version, leased.lease, leased.attempts
    FROM leased
    WHERE leased.lease IS NOT NULL
    ORDER BY leased.document_id;
END
$$;

CREATE FUNCTION rankgres.outbox_extend_v1(leased_generation bigint, held_lease uuid, document_ids text[], lease_for interval) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    UPDATE rankgres.outbox SET due_at = clock_timestamp() + lease_for
    FROM (
        SELECT document_id FROM rankgres.outbox
        WHERE generation_id = leased_generation
            AND document_id = ANY (document_ids)
            AND lease = held_lease
        FOR UPDATE SKIP LOCKED
    ) AS held
    WHERE generation_id = leased_generation AND outbox.document_id = held.document_id
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

CREATE FUNCTION rankgres.outbox_finish_if_leased_v1(leased_generation bigint, held_lease uuid, document_ids text[], versions bigint[]) RETURNS SETOF text
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    WITH unchanged AS (
        SELECT outbox.document_id
        FROM rankgres.outbox
        JOIN unnest(document_ids, versions) AS held (document_id, version)
            USING (document_id, version)
        WHERE outbox.generation_id = leased_generation AND outbox.lease = held_lease
        FOR UPDATE OF outbox SKIP LOCKED
    )
    DELETE FROM rankgres.outbox
    USING unchanged
    WHERE outbox.generation_id = leased_generation
        AND outbox.document_id = unchanged.document_id
    RETURNING outbox.document_id
$$;

CREATE FUNCTION rankgres.outbox_release_v1(leased_generation bigint, held_lease uuid, document_ids text[]) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    UPDATE rankgres.outbox SET
        lease = NULL,
        due_at = clock_timestamp(),
        attempts = greatest(attempts - 1, 0)
    FROM (
        SELECT document_id FROM rankgres.outbox
        WHERE generation_id = leased_generation
            AND document_id = ANY (document_ids)
            AND lease = held_lease
        FOR UPDATE SKIP LOCKED
    ) AS held
    WHERE generation_id = leased_generation AND outbox.document_id = held.document_id
$$;

CREATE FUNCTION rankgres.query_lexemes_v1(searched_generation bigint, text_search_config text, query text) RETURNS TABLE(lexeme text, query_frequency integer, chunk_count bigint, term tsquery)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    WITH wanted AS (
        SELECT entry.lexeme, coalesce(cardinality(entry.positions), 1) AS query_frequency
        FROM unnest(to_tsvector(text_search_config::regconfig, query)) AS entry
    ),
    counted AS (
        SELECT
            wanted.lexeme,
            wanted.query_frequency,
            coalesce((
                SELECT base.chunk_count FROM rankgres.lexeme AS base
                WHERE base.generation_id = searched_generation AND base.lexeme = wanted.lexeme
            ), 0) + coalesce((
                SELECT sum(change.chunk_count) FROM rankgres.lexeme_change AS change
                WHERE change.generation_id = searched_generation AND change.lexeme = wanted.lexeme
            ), 0) AS chunk_count
        FROM wanted
    )
    SELECT
        counted.lexeme,
        counted.query_frequency,
        counted.chunk_count,
        ('''' || replace(replace(counted.lexeme, '\', '\\'), '''', '''''') || '''')::tsquery
    FROM counted
    WHERE counted.chunk_count > 0
    ORDER BY counted.chunk_count, counted.lexeme
$$;

CREATE FUNCTION rankgres.search_candidates(collection text, query text, query_embedding public.vector DEFAULT NULL::public.vector, candidates integer DEFAULT 100, filter jsonb DEFAULT NULL::jsonb, mode text DEFAULT 'hybrid'::text, fusion text DEFAULT 'convex'::text, lexical_weight double precision DEFAULT 0.5, rrf_k integer DEFAULT 60, stage_candidates integer DEFAULT 100, passages integer DEFAULT 1, posting_budget integer DEFAULT 20000, ef_search integer DEFAULT NULL::integer) RETURNS TABLE(rank bigint, passage bigint, document_id text, "position" integer, heading text, text text, start_offset integer, end_offset integer, metadata jsonb, score double precision, lexical_rank bigint, lexical_score double precision, vector_rank bigint, vector_score double precision)
    LANGUAGE sql
    AS $$
    SELECT * FROM rankgres.search_candidates_v1(
        collection, query, query_embedding, candidates, filter, mode, fusion, lexical_weight, rrf_k,
        stage_candidates, passages, posting_budget, ef_search
    )
$$;

CREATE FUNCTION rankgres.search_candidates_v1(collection text, query text, query_embedding public.vector, candidates integer, filter jsonb, mode text, fusion text, lexical_weight double precision, rrf_k integer, stage_candidates integer, passages integer, posting_budget integer, ef_search integer) RETURNS TABLE(rank bigint, passage bigint, document_id text, "position" integer, heading text, text text, start_offset integer, end_offset integer, metadata jsonb, score double precision, lexical_rank bigint, lexical_score double precision, vector_rank bigint, vector_score double precision)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
#variable_conflict use_column
DECLARE
    generation rankgres.generation;
    condition jsonpath;
    lexical rankgres.ranked_chunk [];
    nearest rankgres.ranked_chunk [];
    started timestamptz := clock_timestamp();
    lexical_done timestamptz;
    vector_done timestamptz;
    stage_size integer;
    counted record;
BEGIN
    IF mode IS NULL OR mode NOT IN ('lexical', 'vector', 'hybrid') THEN
        RAISE EXCEPTION 'mode "%" is not known', mode
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'mode',
                HINT = 'use lexical, vector or hybrid';
    ELSIF fusion IS NULL OR fusion NOT IN ('convex', 'rrf') THEN
        RAISE EXCEPTION 'fusion "%" is not known', fusion
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'fusion',
                HINT = 'use convex or rrf';
    ELSIF lexical_weight IS NULL OR lexical_weight NOT BETWEEN 0 AND 1 THEN
        RAISE EXCEPTION 'lexical_weight % is not between 0 and 1', lexical_weight
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'lexical_weight',
                HINT = 'the vector stage gets the rest of 1';
    ELSIF mode <> 'lexical' AND query_embedding IS NULL THEN
        RAISE EXCEPTION 'mode "%" needs query_embedding', mode
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'query_embedding',
                HINT = 'pass it, or mode => ''lexical''';
    END IF;
    FOR counted IN
        SELECT * FROM (VALUES
            ('candidates', candidates),
            ('stage_candidates', stage_candidates),
            ('passages', passages),
            ('rrf_k', rrf_k),
            ('posting_budget', posting_budget),
            ('ef_search', coalesce(ef_search, 1))
        ) AS parameter (name, value)
        WHERE value IS NULL OR value < 1
    LOOP
        RAISE EXCEPTION '% is %', counted.name, coalesce(counted.value::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', COLUMN = counted.name,
                HINT = 'use 1 or more';
    END LOOP;
    SELECT found.* INTO generation
    FROM rankgres.generation AS found
    JOIN rankgres.collection AS owner ON owner.id = found.collection_id
    WHERE owner.name = search_candidates_v1.collection AND found.state = 'active';
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
    condition := rankgres.filter_to_jsonpath_v1(filter);
    stage_size := greatest(stage_candidates, candidates);

    IF mode <> 'vector' THEN
        lexical := ARRAY(
            SELECT ROW(hit.*)::rankgres.ranked_chunk
            FROM rankgres.search_lexical_v1(
                generation.id, query, stage_size, passages, condition, posting_budget
            ) AS hit
        );
    END IF;
    lexical_done := clock_timestamp();
    IF mode <> 'lexical' THEN
        nearest := ARRAY(
            SELECT ROW(hit.*)::rankgres.ranked_chunk
            FROM rankgres.search_vector_v1(
                generation.id, query_embedding, stage_size, passages, condition, ef_search
            ) AS hit
        );
    END IF;
    vector_done := clock_timestamp();

    RETURN QUERY EXECUTE format(
        $statement$
        WITH lexical AS (
            SELECT
                *,
                rankgres.min_max_v1(
                    score,
                    min(score) FILTER (WHERE passage = 1) OVER (),
                    max(score) FILTER (WHERE passage = 1) OVER ()
                ) AS scaled
            FROM unnest($1)
        ),
        nearest AS (
            SELECT
                *,
                rankgres.min_max_v1(
                    score,
                    min(score) FILTER (WHERE passage = 1) OVER (),
                    max(score) FILTER (WHERE passage = 1) OVER ()
                ) AS scaled
            FROM unnest($2)
        ),
        fused AS (
            SELECT
                document_id,
                lexical.rank AS lexical_rank,
                lexical.score AS lexical_score,
                nearest.rank AS vector_rank,
                nearest.score AS vector_score,
                CASE $3
                    WHEN 'rrf' THEN
                        coalesce($4 / ($5 + lexical.rank), 0)
                        + coalesce((1 - $4) / ($5 + nearest.rank), 0)
                    ELSE coalesce($4 * lexical.scaled, 0) + coalesce((1 - $4) * nearest.scaled, 0)
                END AS score
            FROM (SELECT * FROM lexical WHERE passage = 1) AS lexical
            FULL JOIN (SELECT * FROM nearest WHERE passage = 1) AS nearest USING (document_id)
        ),
        ranked AS (
            SELECT
                *,
                row_number() OVER (ORDER BY score DESC, document_id COLLATE "C") AS rank
            FROM fused
            ORDER BY rank
            LIMIT $6
        ),
        passage AS (
            SELECT
                document_id,
                position,
                row_number() OVER (
                    PARTITION BY document_id
                    ORDER BY
                        $4 * coalesce(lexical.scaled, 0) + (1 - $4) * coalesce(nearest.scaled, 0) DESC,
                        position
                ) AS passage
            FROM lexical FULL JOIN nearest USING (document_id, position)
        )
        SELECT
            ranked.rank, passage.passage, chunk.document_id, chunk.position, chunk.heading, chunk.text,
            chunk.start_offset, chunk.end_offset, chunk.filters, ranked.score,
            ranked.lexical_rank, ranked.lexical_score, ranked.vector_rank, ranked.vector_score
        FROM ranked
        JOIN passage USING (document_id)
        JOIN rankgres.%1$I AS chunk ON
            chunk.generation_id = %2$L
            AND chunk.document_id = passage.document_id
            AND chunk.position = passage.position
        WHERE passage.passage <= $7
        ORDER BY ranked.rank, passage.passage
        $statement$,
        'chunk_' || generation.id,
        generation.id
    )
    USING
        lexical,
        nearest,
        fusion,
        CASE mode WHEN 'lexical' THEN 1 WHEN 'vector' THEN 0 ELSE lexical_weight END,
        rrf_k,
        candidates,
        passages;

    PERFORM set_config(
        'rankgres.explain',
        jsonb_build_object(
            'generation', generation.id,
            'lexical_ms', rankgres.milliseconds_v1(started, lexical_done),
            'lexical_bounded', CASE WHEN mode <> 'vector'
                THEN current_setting('rankgres.lexical_bounded', true)::boolean END,
            'vector_ms', rankgres.milliseconds_v1(lexical_done, vector_done),
            'vector_plan', CASE WHEN mode <> 'lexical'
                THEN current_setting('rankgres.vector_plan', true) END,
            'fusion_ms', rankgres.milliseconds_v1(vector_done, clock_timestamp())
        )::text,
        true
    );
END
$_$;

CREATE FUNCTION rankgres.search_lexical_v1(searched_generation bigint, query text, candidates integer, passages integer DEFAULT 1, filter jsonpath DEFAULT NULL::jsonpath, posting_budget integer DEFAULT 20000) RETURNS TABLE(document_id text, "position" integer, score double precision, rank bigint, passage bigint)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
#variable_conflict use_column
DECLARE
    -- Further lexemes of a long query are its most common ones and say the least.
    max_lexemes constant integer := 64;
    generation rankgres.generation;
    chunk_total double precision;
    mean_length double precision;
    terms tsquery [];
    weights double precision [];
    within_budget integer;
    postings_within bigint;
    longer_than_counted boolean;
    matching text;
    contributions text;
    -- Together within the budget; all of the other lexemes; the rarest or any of the others.
    pool tsquery;
    common tsquery;
    fallback tsquery;
    enough boolean;
BEGIN
    PERFORM set_config('rankgres.lexical_bounded', 'false', true);
    SELECT * INTO STRICT generation FROM rankgres.generation WHERE id = searched_generation;
    SELECT sum(total.chunk_count), sum(total.lexical_length)::double precision
        / nullif(sum(total.chunk_count), 0)
    INTO chunk_total, mean_length
    FROM (
        SELECT chunk_count, lexical_length FROM rankgres.chunk_total
        WHERE generation_id = searched_generation
        UNION ALL
        SELECT chunk_count, lexical_length FROM rankgres.chunk_total_change
        WHERE generation_id = searched_generation
    ) AS total;

    SELECT
        array_agg(wanted.term ORDER BY wanted.place),
        array_agg(
            wanted.query_frequency
            * ln(1 + (chunk_total - wanted.chunk_count + 0.5) / (wanted.chunk_count + 0.5))
            ORDER BY wanted.place
        ),
        count(*) FILTER (WHERE wanted.postings <= posting_budget),
        max(wanted.postings) FILTER (WHERE wanted.postings <= posting_budget),
        max(wanted.lexemes) > max_lexemes
    INTO terms, weights, within_budget, postings_within, longer_than_counted
    FROM (
        SELECT
            lexeme.term,
            lexeme.query_frequency,
            least(lexeme.chunk_count, chunk_total) AS chunk_count,
            lexeme.place,
            sum(lexeme.chunk_count) OVER (ORDER BY lexeme.place) AS postings,
            count(*) OVER () AS lexemes
        FROM rankgres.query_lexemes_v1(
            searched_generation, generation.text_search_config, query
        ) WITH ORDINALITY AS lexeme (lexeme, query_frequency, chunk_count, term, place)
    ) AS wanted
    WHERE wanted.place <= max_lexemes;
    IF terms IS NULL THEN
        RETURN;
    END IF;

    PERFORM set_config(
        'rankgres.lexical_bounded',
        (longer_than_counted OR within_budget < cardinality(terms))::text,
        true
    );
    SELECT string_agg(term::text, '|')::tsquery INTO pool
    FROM unnest(terms[:within_budget]) AS term;
    SELECT
        string_agg(term::text, '&')::tsquery,
        CASE WHEN filter IS NULL THEN terms[within_budget + 1]
            ELSE string_agg(term::text, '|')::tsquery END
    INTO common, fallback
    FROM unnest(terms[within_budget + 1:]) AS term;

    -- $1 terms, $2 weights, $3 pool, $4 filter, $5 posting budget, $6 mean length, $7 candidates,
    -- $8 passages, $9 k1, $10 b, $11 common, $12 fallback
    matching := format(
        'SELECT document_id, position, lexical_length, lexemes FROM rankgres.%I WHERE %s lexemes @@ ',
        'chunk_' || searched_generation,
        CASE WHEN filter IS NOT NULL THEN 'filters @@ $4 AND' ELSE '' END
    );
    enough := common IS NULL OR coalesce(postings_within, 0) >= candidates;
    IF enough AND common IS NOT NULL AND filter IS NOT NULL THEN
        -- A look at some: documents seldom have more than ten matching chunks.
        EXECUTE format(
            'SELECT count(DISTINCT document_id) >= $3 FROM (%s $1 LIMIT 10 * $3) AS looked_at',
            replace(matching, '$4', '$2')
        ) INTO enough USING pool, filter, candidates;
    END IF;
    matching := CASE
        WHEN enough THEN matching || '$3'
        WHEN pool IS NULL THEN format(
            '(%1$s $11 LIMIT $5) UNION ALL (%1$s $12 AND NOT lexemes @@ $11 LIMIT $5)', matching
        )
        ELSE format(
            '(%1$s $3) UNION ALL (%1$s $11 AND NOT lexemes @@ $3 LIMIT $5)
            UNION ALL (%1$s $12 AND NOT lexemes @@ $11 AND NOT lexemes @@ $3 LIMIT $5)',
            matching
        )
    END;
    -- One expression a lexeme: three times as fast as a lateral join over the terms.
    SELECT string_agg(
        format(
            '($2)[%1$s] * (1 - saturation / (saturation
                + floor(0.6079271018540267 / (1 - ts_rank(''{1,1,1,1}'', lexemes, ($1)[%1$s])))))',
            place
        ),
        ' + '
    ) INTO contributions
    FROM generate_series(1, cardinality(terms)) AS place;

    RETURN QUERY EXECUTE format(
        $statement$
        WITH matching AS (%1$s),
        scored AS (
            SELECT document_id, position, ($9 + 1) * (%2$s) AS score
            FROM (
                SELECT
                    *,
                    -- Above 0 also for k1 = 0, where a term's frequency does not count.
                    greatest($9 * (1 - $10 + $10 * lexical_length / $6), 1e-9) AS saturation
                FROM matching
                -- Keeps the saturation from being computed once more in every contribution.
                OFFSET 0
            ) AS measured
        ),
        placed AS (
            SELECT
                *,
                row_number() OVER (PARTITION BY document_id ORDER BY score DESC, position) AS passage
            FROM scored
        ),
        best AS (
            SELECT
                document_id,
                row_number() OVER (ORDER BY score DESC, document_id COLLATE "C") AS rank
            FROM placed
            WHERE passage = 1
            ORDER BY rank
            LIMIT $7
        )
        SELECT document_id, position, score, rank, passage
        FROM placed JOIN best USING (document_id)
        WHERE passage <= $8
        ORDER BY rank, passage
        $statement$,
        matching,
        contributions
    ) USING terms, weights, pool, filter, posting_budget, mean_length, candidates, passages,
        generation.bm25_k1, generation.bm25_b, common, fallback;
END
$_$;

CREATE FUNCTION rankgres.search_vector_v1(searched_generation bigint, query_embedding public.vector, candidates integer, passages integer DEFAULT 1, filter jsonpath DEFAULT NULL::jsonpath, ef_search integer DEFAULT NULL::integer) RETURNS TABLE(document_id text, "position" integer, score double precision, rank bigint, passage bigint)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
#variable_conflict use_column
DECLARE
    generation rankgres.generation;
    chunk_total bigint;
    chunks_wanted bigint;
    -- Bits order coarsely: take more of them and order these by the real distance.
    oversampling integer := 1;
    distance text;
    plan text;
    document_ids text [];
    positions integer [];
    distances double precision [];
    documents_found bigint;
    -- Set during the scan and put back after it. Clauses SET of the function would do the same, but
    -- to create or restore such a function takes a superuser while pgvector is not loaded.
    settings_during constant jsonb :=
        '{"hnsw.iterative_scan": "relaxed_order", "hnsw.max_scan_tuples": "20000"}';
    settings_before jsonb;
BEGIN
    PERFORM set_config('rankgres.vector_plan', 'exact', true);
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
    IF chunk_total = 0 THEN
        RETURN;
    END IF;
    distance := rankgres.generation_distance_v1(generation, '$1');
    plan := CASE generation.hnsw_state WHEN 'ready' THEN 'hnsw' ELSE 'exact' END;
    IF plan = 'hnsw' AND generation.storage_type = 'bit' THEN
        oversampling := 4;
    END IF;

    SELECT jsonb_object_agg(name, current_setting(name)) INTO settings_before
    FROM unnest('{hnsw.ef_search,hnsw.iterative_scan,hnsw.max_scan_tuples}'::text []) AS name;
    PERFORM set_config(key, value, true) FROM jsonb_each_text(settings_during);
    LOOP
        PERFORM set_config(
            'hnsw.ef_search',
            least(1000, coalesce(ef_search, greatest(100, 2 * oversampling * chunks_wanted)))::text,
            true
        );
        EXECUTE format(
            $statement$
            SELECT array_agg(document_id), array_agg(position), array_agg(distance)
            FROM (
                SELECT document_id, position, distance
                FROM (
                    SELECT document_id, position, %2$s AS distance
                    FROM rankgres.%1$I
                    %3$s
                    ORDER BY %4$s
                    LIMIT $3 * %5$s
                ) AS scanned
                ORDER BY distance, document_id COLLATE "C", position
                LIMIT $3
            ) AS nearest
            $statement$,
            'chunk_' || searched_generation,
            distance,
            CASE WHEN filter IS NOT NULL THEN 'WHERE filters @@ $2' ELSE '' END,
            CASE plan
                WHEN 'hnsw' THEN rankgres.generation_hnsw_order_v1(generation, '$1')
                -- An expression that no index has, and no choice left between equals.
                ELSE '0 + ' || distance || ', document_id COLLATE "C", position'
            END,
            oversampling
        )
        INTO document_ids, positions, distances
        USING query_embedding, filter, chunks_wanted;
        documents_found := (SELECT count(DISTINCT id) FROM unnest(document_ids) AS id);

        IF plan = 'hnsw' AND coalesce(cardinality(document_ids), 0) < least(chunks_wanted, chunk_total)
        THEN
            plan := 'hnsw+exact';
            CONTINUE;
        END IF;
        EXIT WHEN documents_found >= candidates
            OR coalesce(cardinality(document_ids), 0) < chunks_wanted
            OR chunks_wanted >= chunk_total;
        chunks_wanted := 2 * chunks_wanted;
    END LOOP;
    PERFORM set_config(key, value, true) FROM jsonb_each_text(settings_before);
    PERFORM set_config('rankgres.vector_plan', plan, true);

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
$_$;

CREATE FUNCTION rankgres.snippet_v1(searched_generation bigint, query text, passage text, start_mark text, stop_mark text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT replace(ts_headline(
        generation.text_search_config::regconfig,
        replace(passage, '<', U&'\E002'),
        -- Quoted lexemes joined by or; an empty query matches nothing, and the beginning is shown.
        coalesce(
            (
                SELECT string_agg(
                    '''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', '|'
                )
                FROM unnest(tsvector_to_array(
                    to_tsvector(generation.text_search_config::regconfig, query)
                )) AS lexeme
            ),
            ''
        )::tsquery,
        format(
            'StartSel="%s", StopSel="%s", MaxFragments=2, MaxWords=30, MinWords=12, '
            'FragmentDelimiter=" … "',
            start_mark,
            stop_mark
        )
    ), U&'\E002', '<')
    FROM rankgres.generation
    WHERE generation.id = searched_generation
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

CREATE TABLE rankgres.alembic_version (
    version_num character varying(32) NOT NULL
);

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
    embedding_full public.vector
)
PARTITION BY LIST (generation_id);
ALTER TABLE ONLY rankgres.chunk ALTER COLUMN lexemes SET STORAGE MAIN;
ALTER TABLE ONLY rankgres.chunk ALTER COLUMN embedding SET STORAGE MAIN;
ALTER TABLE ONLY rankgres.chunk ALTER COLUMN embedding_full SET STORAGE MAIN;

COMMENT ON TABLE rankgres.chunk IS 'What is searched. One partition a generation, each with its own GIN and HNSW indexes.';

COMMENT ON COLUMN rankgres.chunk.start_offset IS 'Characters into the document''s text.';

COMMENT ON COLUMN rankgres.chunk.embedding_full IS 'Set instead of embedding where the generation stores full precision.';

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
    CONSTRAINT collection_name_check CHECK ((name ~ '^[a-z][a-z0-9_-]{0,62}$'::text))
);

COMMENT ON TABLE rankgres.collection IS 'A named set of documents.';

ALTER TABLE rankgres.collection ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME rankgres.collection_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

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
    dead_at timestamp with time zone
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='1000');

COMMENT ON COLUMN rankgres.outbox.version IS 'From a sequence, so that a version never returns, not even for a key deleted and made anew.';

COMMENT ON COLUMN rankgres.outbox.due_at IS 'When it may be claimed: at once, at the end of a lease, or after a failed try''s backoff.';

CREATE VIEW rankgres.collection_status AS
 SELECT collection.name AS collection,
    generation.id AS generation_id,
    generation.state,
    generation.embedding_model,
    generation.hnsw_state,
    COALESCE(total.documents, (0)::bigint) AS documents,
    COALESCE(total.chunks, (0)::bigint) AS chunks,
    queue.pending,
    queue.leased,
    queue.dead,
    queue.oldest_age
   FROM (((rankgres.collection
     JOIN rankgres.generation ON ((generation.collection_id = collection.id)))
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
            (clock_timestamp() - min(outbox.enqueued_at) FILTER (WHERE (outbox.dead_at IS NULL))) AS oldest_age
           FROM rankgres.outbox
          WHERE (outbox.generation_id = generation.id)) queue ON (true));

COMMENT ON VIEW rankgres.collection_status IS 'One row a generation: documents and chunks searchable, and what the outbox still holds.';

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

ALTER TABLE rankgres.generation ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME rankgres.generation_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

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

ALTER TABLE ONLY rankgres.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

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

ALTER TABLE ONLY rankgres.generation
    ADD CONSTRAINT generation_pkey PRIMARY KEY (id);

ALTER TABLE ONLY rankgres.lexeme
    ADD CONSTRAINT lexeme_pkey PRIMARY KEY (generation_id, lexeme);

ALTER TABLE ONLY rankgres.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (generation_id, document_id);

CREATE INDEX chunk_total_change_generation ON rankgres.chunk_total_change USING btree (generation_id);

CREATE UNIQUE INDEX generation_one_active ON rankgres.generation USING btree (collection_id) WHERE (state = 'active'::text);

CREATE UNIQUE INDEX generation_one_building ON rankgres.generation USING btree (collection_id) WHERE (state = 'building'::text);

CREATE INDEX lexeme_change_lexeme ON rankgres.lexeme_change USING btree (generation_id, lexeme);

CREATE INDEX outbox_due ON rankgres.outbox USING btree (generation_id, due_at, document_id) WHERE (dead_at IS NULL);

CREATE TRIGGER document_delete_to_outbox AFTER DELETE ON rankgres.document REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION rankgres.document_to_outbox_v1();

CREATE TRIGGER document_insert_to_outbox AFTER INSERT ON rankgres.document REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION rankgres.document_to_outbox_v1();

CREATE TRIGGER document_truncate_to_outbox AFTER TRUNCATE ON rankgres.document FOR EACH STATEMENT EXECUTE FUNCTION rankgres.document_to_outbox_v1();

CREATE TRIGGER document_update_to_outbox AFTER UPDATE ON rankgres.document REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION rankgres.document_to_outbox_v1();

ALTER TABLE ONLY rankgres.document
    ADD CONSTRAINT document_collection_id_fkey FOREIGN KEY (collection_id) REFERENCES rankgres.collection(id) ON DELETE CASCADE;

ALTER TABLE ONLY rankgres.generation
    ADD CONSTRAINT generation_collection_id_fkey FOREIGN KEY (collection_id) REFERENCES rankgres.collection(id) ON DELETE CASCADE;
