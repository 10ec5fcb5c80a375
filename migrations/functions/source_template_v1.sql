-- Reads a template of columns in braces, as in '{title}, by {author}', into its parts in order: text as
-- it stands, or the name of a column. Two braces stand for one.
CREATE FUNCTION rankgres.source_template_v1(template text)
RETURNS TABLE (literal text, column_name text)
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    part text;
BEGIN
    FOR part IN
        SELECT matched[1] FROM regexp_matches(
            template, '\{\{|\}\}|\{[^{}]+\}|[^{}]+|[{}]', 'g'
        ) WITH ORDINALITY AS match (matched, place)
        ORDER BY place
    LOOP
        CASE
            WHEN part IN ('{', '}') THEN
                RAISE EXCEPTION 'template has a brace that is not closed or not opened: %', template
                    USING ERRCODE = 'invalid_parameter_value', COLUMN = 'template',
                        HINT = 'write columns as {title}, and a brace itself as {{ or }}';
            WHEN part IN ('{{', '}}') THEN
                literal := left(part, 1);
                column_name := NULL;
            WHEN part LIKE '{%' THEN
                literal := NULL;
                column_name := substring(part FROM 2 FOR length(part) - 2);
            ELSE
                literal := part;
                column_name := NULL;
        END CASE;
        RETURN NEXT;
    END LOOP;
END
$function$;
