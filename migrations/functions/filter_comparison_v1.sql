-- The text of a jsonpath predicate over @ that compares it with a plain JSON value. Strings compare
-- as strings, except >, >=, < and <= with an ISO 8601 date or timestamp: these compare moments, so
-- offsets, fractions and dates without a time are understood; what is no date compares as a string.
--
-- Only jsonpath that needs no session time zone is used, so @@ evaluates it: a date or a time without
-- an offset is compared with the moment as UTC, a time with an offset with the moment at +00:00, and
-- the form with Z, which Postgres 16 does not read by itself, through templates. Reading costs
-- microseconds: it is done only within two days of the moment, where the text alone cannot tell.
CREATE FUNCTION rankgres.filter_comparison_v1(operator text, operand jsonb) RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
DECLARE
    moment timestamp := CASE WHEN operator <> '==' AND jsonb_typeof(operand) = 'string'
        THEN rankgres.filter_instant_v1(operand #>> '{}') END;
    -- Offsets are below 16 hours: before the one and from the other on, the local date decides. A
    -- colon comes after every digit, so that the year 10000 does not begin before the year 2000.
    decided_below text := CASE WHEN moment < '0001-01-03' THEN ''
        ELSE to_char(moment - interval '1 day', 'YYYY-MM-DD') END;
    decided_from text := CASE WHEN moment >= '9999-12-30' THEN ':'
        ELSE to_char(moment + interval '2 days', 'YYYY-MM-DD') END;
    read text;
BEGIN
    IF moment IS NULL THEN
        RETURN format('@ %s %s', operator, operand);
    END IF;
    -- Never compared: what has an offset with what has none, which would be an error. A form that a
    -- value does not have makes its comparison unknown, and the next is tried.
    read := format(
        $condition$
        @ like_regex ":.*[+-]" && @.datetime() %1$s "%2$s+00:00".datetime()
        || @ like_regex "Z$" && (
            @.datetime("YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"") %1$s "%2$s".datetime()
            || @.datetime("YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"") %1$s "%2$s".datetime()
            || @.datetime("YYYY-MM-DD\"T\"HH24:MI\"Z\"") %1$s "%2$s".datetime()
        )
        || !(@ like_regex ":.*[+-]" || @ like_regex "Z$") && (
            @.datetime() %1$s "%2$s".datetime()
            || @.datetime("YYYY-MM-DD\"T\"HH24:MI") %1$s "%2$s".datetime()
        )
        $condition$,
        operator,
        to_char(moment, 'YYYY-MM-DD"T"HH24:MI:SS.US')
    );
    RETURN CASE
        WHEN operator IN ('>', '>=') THEN
            format('@ >= "%s" || (@ >= "%s" && (%s))', decided_from, decided_below, read)
        ELSE format('@ < "%s" || (@ < "%s" && (%s))', decided_below, decided_from, read)
    END;
END
$function$;
