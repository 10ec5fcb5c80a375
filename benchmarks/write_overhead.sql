-- name: make_pool
-- The rows that every contender writes, made of a real corpus.
CREATE SCHEMA shop;
CREATE TABLE shop.pool (number bigint, title text, body text, tenant_id integer, tags text [])

-- name: copy_pool
COPY shop.pool (number, title, body, tenant_id, tags) FROM STDIN

-- name: make_table
-- A table as applications have them: a key, texts, columns to filter by, and their indexes.
CREATE TABLE {table} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text,
    body text NOT NULL,
    tenant_id integer NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    tags text [],
    views integer NOT NULL DEFAULT 0
);
CREATE INDEX ON {table} (tenant_id, published_at)

-- name: make_row_trigger
-- What most recipes do: a trigger for each row puts its key into a queue.
CREATE TABLE shop.queue (id bigint, queued_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION shop.queue_row() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    IF tg_op = 'DELETE' THEN
        INSERT INTO shop.queue (id) VALUES (old.id);
    ELSIF tg_op = 'INSERT'
        OR (old.title, old.body, old.tenant_id, old.tags)
        IS DISTINCT FROM (new.title, new.body, new.tenant_id, new.tags) THEN
        INSERT INTO shop.queue (id) VALUES (new.id);
    END IF;
    RETURN NULL;
END
$function$;
CREATE TRIGGER queue_row AFTER INSERT OR UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION shop.queue_row()

-- name: attach
SELECT rankgres.attach(
    'articles', 'shop.attached', title => 'title', text => '{body}', filters => '{tenant_id,tags}'
)

-- name: fill
INSERT INTO {table} (title, body, tenant_id, tags)
SELECT title, body, tenant_id, tags FROM shop.pool ORDER BY number

-- name: empty
TRUNCATE {table} RESTART IDENTITY

-- name: forget
-- What triggers noted of the filling is not part of the run.
TRUNCATE rankgres.source_change, shop.queue
