-- A short excerpt of a passage with the query's words between two marks. Words are matched as the
-- generation's text-search configuration sees them; a passage with none of them gives its beginning.
-- Postgres would leave out what looks like a tag, so "<" is hidden from it behind a private-use
-- character.
CREATE FUNCTION rankgres.snippet_v1(
    searched_generation bigint,
    query text,
    passage text,
    start_mark text,
    stop_mark text
) RETURNS text
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    SELECT replace(ts_headline(
        generation.text_search_config::regconfig,
        replace(passage, '<', U&'\E002'),
        -- Quoted lexemes joined by or; an empty query matches nothing, and the beginning is shown.
        coalesce(
            (
                SELECT string_agg(
                    '''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', '|'
                )
                FROM unnest(tsvector_to_array(
                    to_tsvector(generation.text_search_config::regconfig, query)
                )) AS lexeme
            ),
            ''
        )::tsquery,
        format(
            'StartSel="%s", StopSel="%s", MaxFragments=2, MaxWords=30, MinWords=12, '
            'FragmentDelimiter=" … "',
            start_mark,
            stop_mark
        )
    ), U&'\E002', '<')
    FROM rankgres.generation
    WHERE generation.id = searched_generation
$function$;
