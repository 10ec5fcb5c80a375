-- The text-search configuration for a language given as an ISO 639 code, with or without a region
-- ('de', 'deu', 'de-AT'), or by the name of a configuration of Postgres ('german'); 'simple' for a
-- language that this server has none for; NULL for what is no language.
CREATE FUNCTION rankgres.language_config_v1(language text) RETURNS text
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    WITH wanted AS (
        SELECT split_part(replace(lower(btrim(language)), '_', '-'), '-', 1) AS code
    ),
    named AS (
        SELECT wanted.code, coalesce(
            (
                SELECT known.config
                FROM (VALUES
                    ('arabic', '{ar,ara}'), ('armenian', '{hy,hye,arm}'), ('basque', '{eu,eus,baq}'),
                    ('catalan', '{ca,cat}'), ('danish', '{da,dan}'), ('dutch', '{nl,nld,dut}'),
                    ('english', '{en,eng}'), ('estonian', '{et,est}'), ('finnish', '{fi,fin}'),
                    ('french', '{fr,fra,fre}'), ('german', '{de,deu,ger}'),
                    ('greek', '{el,ell,gre}'), ('hindi', '{hi,hin}'), ('hungarian', '{hu,hun}'),
                    ('indonesian', '{id,ind}'), ('irish', '{ga,gle}'), ('italian', '{it,ita}'),
                    ('lithuanian', '{lt,lit}'), ('nepali', '{ne,nep}'),
                    ('norwegian', '{no,nb,nn,nor,nob,nno}'), ('portuguese', '{pt,por}'),
                    ('romanian', '{ro,ron,rum}'), ('russian', '{ru,rus}'), ('serbian', '{sr,srp}'),
                    ('spanish', '{es,spa}'), ('swedish', '{sv,swe}'), ('tamil', '{ta,tam}'),
                    ('turkish', '{tr,tur}'), ('yiddish', '{yi,yid}')
                ) AS known (config, codes)
                WHERE wanted.code = ANY (known.codes::text [])
            ),
            wanted.code
        ) AS config
        FROM wanted
    )
    SELECT CASE
        WHEN EXISTS (
            SELECT FROM pg_ts_config
            WHERE cfgname = named.config AND cfgnamespace = 'pg_catalog'::regnamespace
        ) THEN named.config
        WHEN named.code ~ '^[a-z]{2,3}$' THEN 'simple'
    END
    FROM named
$function$;
