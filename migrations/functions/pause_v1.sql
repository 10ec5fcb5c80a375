-- Pauses a collection: no worker takes its documents and no backfill goes on until it is resumed; it is
-- searched as it is, and what changes is queued. Pausing again changes nothing.
CREATE FUNCTION rankgres.pause_v1(paused_collection text) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    UPDATE rankgres.collection SET paused_at = coalesce(paused_at, now())
    WHERE id = rankgres.source_authorize_v1(paused_collection);
END
$function$;

-- The public name. It stays while versions come and go behind it.
CREATE FUNCTION rankgres.pause(collection text) RETURNS void
LANGUAGE sql
AS $function$
    SELECT rankgres.pause_v1(collection)
$function$;
