-- Raises that a source cannot be read as it was attached, which is no fault of any document.
CREATE FUNCTION rankgres.source_unreadable_v1(reason text) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
BEGIN
    RAISE EXCEPTION 'the source cannot be read: %', reason
        USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = format('the role %I reads it: see rankgres.source', current_user);
END
$function$;
