-- How many documents have each value of some fields, among those that a filter lets through and, with
-- a query, whose chunks match any of its clauses and all of its conditions. The values_per_field most
-- frequent values of each field, those first, equals in the order of jsonb; of a list each element
-- counts. A document without the field counts nowhere.
--
-- Exact while at most 50,000 chunks match, which takes about as many microseconds times five; beyond
-- that estimated from about 20,000 of the table's chunks, which are the same every time, and exact is
-- false. A sampled chunk stands for its document in part: one of n matching chunks counts 1/n.
CREATE FUNCTION rankgres.facet_counts_v1(
    collection text,
    fields text [],
    filter jsonb,
    query text,
    values_per_field integer
) RETURNS TABLE (field text, value jsonb, documents bigint, exact boolean)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
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
$function$;

-- The public name. It stays while versions come and go behind it.
CREATE FUNCTION rankgres.facet_counts(
    collection text,
    fields text [],
    filter jsonb DEFAULT NULL,
    query text DEFAULT NULL,
    values_per_field integer DEFAULT 10
) RETURNS TABLE (field text, value jsonb, documents bigint, exact boolean)
LANGUAGE sql
AS $function$
    SELECT * FROM rankgres.facet_counts_v1(collection, fields, filter, query, values_per_field)
$function$;
