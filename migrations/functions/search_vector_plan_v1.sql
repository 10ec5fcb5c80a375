-- How a generation's nearest chunks are best found: by a walk through the HNSW index that goes on
-- until enough chunks satisfy filter and condition (plan hnsw), or by measuring each chunk that does
-- (plan exact), whichever is expected to take less time. Without a ready index it is exact.
--
-- ef_search is the width of the index's search; index_chunks how many of its results are looked at
-- to keep the nearest. scan_tuples bounds the walk: where the chunks that satisfy are far from the
-- query it may cost as much again as exact search, which then takes over, and never visits all.
-- served says whether an index serves filter or condition; NULL where it was cheaper not to look.
-- returned_ms is what one result of the index is expected to take.
--
-- Under a filter or condition the walk must promise to be twice as fast: what satisfies may all lie
-- far from the query, and what a walk then meets first need not be the nearest of it.
CREATE FUNCTION rankgres.search_vector_plan_v1(
    generation rankgres.generation,
    chunk_total bigint,
    chunks_wanted bigint,
    filter jsonpath,
    condition tsquery,
    given_ef_search integer,
    OUT plan text,
    OUT ef_search integer,
    OUT index_chunks bigint,
    OUT scan_tuples bigint,
    OUT selectivity double precision,
    OUT sampled bigint,
    OUT served boolean,
    OUT returned_ms double precision,
    OUT hnsw_ms double precision,
    OUT exact_ms double precision
)
LANGUAGE plpgsql
-- Only a volatile function may EXPLAIN.
VOLATILE
SET search_path FROM CURRENT
AS $function$
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
$function$;
