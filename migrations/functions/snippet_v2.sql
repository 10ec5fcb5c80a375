-- A short excerpt of a passage with the query's words between two marks; of a passage with none of
-- them, found by its meaning alone, the beginning. Excluded words of the query are not marked.
CREATE FUNCTION rankgres.snippet_v2(
    searched_generation bigint,
    query text,
    content text,
    start_mark text,
    stop_mark text,
    language text DEFAULT NULL
) RETURNS text
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    SELECT coalesce(
        rankgres.snippet_marked_v1(
            rankgres.generation_configs_v1(searched_generation, language),
            (rankgres.query_parse_v1(searched_generation, query, language)).lexemes,
            content,
            start_mark,
            stop_mark
        ),
        rankgres.snippet_beginning_v1(content)
    )
$function$;
