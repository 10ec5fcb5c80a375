-- Lets a paused collection go on; workers take its documents from where it was paused.
CREATE FUNCTION rankgres.resume_v1(resumed_collection text) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    UPDATE rankgres.collection SET paused_at = NULL
    WHERE id = rankgres.source_authorize_v1(resumed_collection);
END
$function$;

-- The public name. It stays while versions come and go behind it.
CREATE FUNCTION rankgres.resume(collection text) RETURNS void
LANGUAGE sql
AS $function$
    SELECT rankgres.resume_v1(collection)
$function$;
