-- Lists the generations whose chunks have row security that applies to whoever asks: see
-- generation_row_security.
CREATE FUNCTION rankgres.generation_secured_v1() RETURNS bigint []
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    SELECT coalesce(array_agg(substring(relname::text FROM '^chunk_([0-9]+)$')::bigint), '{}')
    FROM pg_class
    WHERE relname >= 'chunk_' AND relname < 'chunk`'
        AND relnamespace = 'rankgres'::regnamespace
        AND relrowsecurity
        AND relname::text ~ '^chunk_[0-9]+$'
        AND row_security_active(oid)
$function$;
