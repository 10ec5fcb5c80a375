-- Queues every document that the statement changed, once per live generation of its collection.
-- Stands or falls with the statement. A document queued already gets a new version and keeps its
-- lease, so that the worker holding it finds out when it finishes.
CREATE FUNCTION rankgres.document_to_outbox_v1() RETURNS trigger
LANGUAGE plpgsql
-- The application needs rights on rankgres.document, none on the outbox. Run with our rights, it must
-- find no function that others could put in its way: nothing but the system's schema.
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
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
$function$;

CREATE TRIGGER document_insert_to_outbox AFTER INSERT ON rankgres.document
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION rankgres.document_to_outbox_v1();

CREATE TRIGGER document_update_to_outbox AFTER UPDATE ON rankgres.document
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION rankgres.document_to_outbox_v1();

CREATE TRIGGER document_delete_to_outbox AFTER DELETE ON rankgres.document
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION rankgres.document_to_outbox_v1();

CREATE TRIGGER document_truncate_to_outbox AFTER TRUNCATE ON rankgres.document
FOR EACH STATEMENT EXECUTE FUNCTION rankgres.document_to_outbox_v1();
