-- Writes the statement that reads the next $2 rows of a source after the key whose texts are $1, in the
-- order of the index on the key: one row with the ids of those that satisfy the condition, how many
-- rows there were, and the last one's key. Without conditional all of them satisfy it.
CREATE FUNCTION rankgres.backfill_statement_v1(
    read_collection bigint,
    is_first boolean,
    conditional boolean
) RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
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
$function$;
