-- Finds a valid unique index on exactly these columns, in any order: the primary key rather than
-- another. NULL where there is none.
CREATE FUNCTION rankgres.source_key_index_v1(source_relation oid, key_columns text []) RETURNS oid
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
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
$function$;
