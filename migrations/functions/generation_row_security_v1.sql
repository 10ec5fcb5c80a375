-- Lets nobody see a chunk of the generation whose document they may not see in the attached relation:
-- a policy on the generation's table asks the relation, with the rights and under the row security of
-- whoever searches. It goes for those too who read the table itself.
CREATE FUNCTION rankgres.generation_row_security_v1(secured_generation bigint) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
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
$function$;
