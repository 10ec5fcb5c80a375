-- Writes the SQL expressions that a document is made of, over a row of its source called source_row:
-- its id, title, text and metadata, and rows, which is where rows that belong to the collection come
-- from. repeated says whether two of them may have the same id.
--
-- Raises object_not_in_prerequisite_state where the relation is not as it was attached: no fault of
-- any document.
CREATE FUNCTION rankgres.source_row_v1(
    read_collection bigint,
    OUT document_id text,
    OUT title text,
    OUT body text,
    OUT metadata text,
    OUT rows text,
    OUT repeated boolean
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
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
$function$;
