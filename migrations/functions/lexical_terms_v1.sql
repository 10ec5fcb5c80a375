-- The terms of a parsed query that score in a generation, rarest first: each as a tsquery, its weight
-- (smoothed idf times how often the query says it) and the number of chunks that it stands in.
-- The idf is ln(1 + (N - n + 0.5) / (n + 0.5)), which never falls below 0. At most 64 terms: further
-- ones of a long query are its most common and say the least. cut tells whether there were more.
CREATE FUNCTION rankgres.lexical_terms_v1(
    searched_generation bigint,
    parsed rankgres.parsed_query,
    chunk_total double precision,
    OUT terms tsquery [],
    OUT weights double precision [],
    OUT counts double precision [],
    OUT cut boolean
)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    SELECT
        array_agg(wanted.term ORDER BY wanted.place) FILTER (WHERE wanted.place <= 64),
        array_agg(
            wanted.query_frequency
            * ln(1 + (chunk_total - wanted.found_in + 0.5) / (wanted.found_in + 0.5))
            ORDER BY wanted.place
        ) FILTER (WHERE wanted.place <= 64),
        array_agg(wanted.found_in ORDER BY wanted.place) FILTER (WHERE wanted.place <= 64),
        count(*) > 64
    FROM (
        SELECT
            lexeme.term,
            lexeme.query_frequency,
            -- A worker may have counted chunks that this session does not see yet.
            least(lexeme.chunk_count, chunk_total) AS found_in,
            lexeme.place
        FROM rankgres.query_lexemes_v2(
            searched_generation, parsed.lexemes, parsed.frequencies
        ) WITH ORDINALITY AS lexeme (lexeme, query_frequency, chunk_count, term, place)
    ) AS wanted
$function$;
