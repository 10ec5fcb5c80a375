-- Writes the statement that reads the documents of a collection: id, title, text, metadata and
-- content_hash of those among the ids in $1; with kind 'hashes' id and content_hash of all; with 'ids'
-- the id of each row, whether it satisfies the condition or not.
--
-- Nothing in the user's schemas depends on it, as would on a view, so that their tables can be
-- altered; whoever reads much writes it anew each time, which takes less than a millisecond.
CREATE FUNCTION rankgres.source_statement_v1(read_collection bigint, kind text) RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
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
$function$;
