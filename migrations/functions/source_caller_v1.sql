-- Tells the role whose rights count where a function runs with ours: that of the session, or the one
-- that it took by SET ROLE.
CREATE FUNCTION rankgres.source_caller_v1() RETURNS name
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    SELECT coalesce(nullif(current_setting('role'), 'none')::name, session_user)
$function$;
