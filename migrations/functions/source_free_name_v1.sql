-- Lengthens a name until it is none of those that are taken.
CREATE FUNCTION rankgres.source_free_name_v1(wanted text, taken text []) RETURNS text
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
BEGIN
    WHILE wanted = ANY (taken) LOOP
        wanted := wanted || '_';
    END LOOP;
    RETURN wanted;
END
$function$;
