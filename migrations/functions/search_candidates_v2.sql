-- The candidate stage: the best documents of a collection for a query, by BM25, by nearest embedding
-- or by both fused, filtered, with every rank and score of every stage. The service, SQL users and
-- the tests call this one function.
--
-- query is what a person types: words, a question, "phrases", -exclusions, OR, heading:words (see
-- query_parse). query_embedding is the query encoded by the collection's embedding model; mode
-- 'lexical' needs none, mode 'vector' needs no query. A parameter left NULL is taken from the
-- collection's search_profile, else from the defaults in search_profile.
--
-- Where nothing at all has the quoted phrases, their words are searched for instead, and relaxed is
-- true.
--
-- Each stage lists stage_candidates documents (see search_lexical, search_vector); those under
-- min_lexical_score or min_vector_score are dropped from its list after the scan. The lists are fused
-- (see fuse); for fusion 'theoretical' a document that one stage alone listed is scored by the other
-- as well, so that its place does not hang on where a list was cut. Then come recency and boosts (see
-- boost_scores), min_score, autocut at the given number of falls, the best candidates, and diversity
-- (see diversify). Ties are broken by document id, so the same query gives the same list.
--
-- rank counts documents, passage the passages of one, up to passages each. A stage's rank is NULL where
-- it did not list the document. Offsets are characters of the document's text. What happened inside is
-- left as JSON in the transaction's setting rankgres.explain: milliseconds, what each stage says, and
-- complete, which is false where deadline_ms cut the list short of what exists.
CREATE FUNCTION rankgres.search_candidates_v2(
    collection text,
    query text,
    query_embedding vector,
    filter jsonb,
    mode text,
    passages integer,
    language text,
    given jsonb
) RETURNS TABLE (
    rank bigint,
    passage bigint,
    document_id text,
    "position" integer,
    heading text,
    text text,
    start_offset integer,
    end_offset integer,
    metadata jsonb,
    score double precision,
    lexical_rank bigint,
    lexical_score double precision,
    vector_rank bigint,
    vector_score double precision
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
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
$function$;

-- The public name. It stays while versions come and go behind it.
CREATE FUNCTION rankgres.search_candidates(
    collection text,
    query text DEFAULT '',
    query_embedding vector DEFAULT NULL,
    candidates integer DEFAULT NULL,
    filter jsonb DEFAULT NULL,
    mode text DEFAULT 'hybrid',
    fusion text DEFAULT NULL,
    lexical_weight double precision DEFAULT NULL,
    rrf_k integer DEFAULT NULL,
    stage_candidates integer DEFAULT NULL,
    passages integer DEFAULT 1,
    posting_budget integer DEFAULT NULL,
    ef_search integer DEFAULT NULL,
    match text DEFAULT NULL,
    language text DEFAULT NULL,
    correct boolean DEFAULT NULL,
    heading_weight double precision DEFAULT NULL,
    min_lexical_score double precision DEFAULT NULL,
    min_vector_score double precision DEFAULT NULL,
    min_score double precision DEFAULT NULL,
    autocut integer DEFAULT NULL,
    recency jsonb DEFAULT NULL,
    boosts jsonb DEFAULT NULL,
    diversity double precision DEFAULT NULL,
    deadline_ms integer DEFAULT NULL
) RETURNS TABLE (
    rank bigint,
    passage bigint,
    document_id text,
    "position" integer,
    heading text,
    text text,
    start_offset integer,
    end_offset integer,
    metadata jsonb,
    score double precision,
    lexical_rank bigint,
    lexical_score double precision,
    vector_rank bigint,
    vector_score double precision
)
LANGUAGE sql
AS $function$
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
$function$;
