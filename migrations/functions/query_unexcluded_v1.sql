-- A plain question without what it says it is not about: "rivers of Asia (excluding the Ganges)" is
-- left as "rivers of Asia ( )". To BM25 the word that is not wanted is the rarest, and counts most; what
-- is about it would come first. It is not forbidden either: what is wanted often names it.
--
-- An exclusion goes from its words, in English, to the next mark or bracket. Only words that always
-- exclude: after "other than", "besides" and "without" stands what the question is about (measured on
-- XQuAD). Of a question that would have nothing left, all is left.
CREATE FUNCTION rankgres.query_unexcluded_v1(query text) RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
    SELECT CASE WHEN wanted.query ~ '\w' THEN wanted.query ELSE query_unexcluded_v1.query END
    FROM (
        SELECT regexp_replace(
            query_unexcluded_v1.query,
            '\m(?:excluding|not including|but not|except for|with the exception of)\s[^,;:.?!()\[\]]*',
            '',
            'gi'
        ) AS query
    ) AS wanted
$function$;
