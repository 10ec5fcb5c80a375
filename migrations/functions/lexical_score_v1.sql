-- The SQL expression of a chunk's BM25 score, over its columns lexemes and saturation and the
-- parameters $1 terms, $2 weights (see lexical_terms), $4 k1 and $6 heading weight. saturation is what a
-- term's frequency is weighed against, k1 * (1 - b + b * length / mean length), computed once a chunk. One summand a term is three times as fast as a join over the terms.
--
-- BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009). A heading weight
-- other than 1 makes it the simple BM25F of Robertson, Zaragoza and Taylor, "Simple BM25 Extension to
-- Multiple Weighted Fields" (2004): a lexeme of the heading counts as that many of the text. Lengths
-- stay as they are: headings are short beside their passages.
--
-- Term frequencies come from ts_rank, which for one lexeme and equal weights is a function of the
-- frequency alone, H(tf) / (π² / 6) with H(n) the sum of 1 / j² to n; its inverse is below, exact
-- from 0 to the 255 positions that a tsvector keeps. Much cheaper than unnesting the tsvector. A
-- heading's positions come first, so that the weights {0,0,0,1} give the frequency in the heading.
CREATE FUNCTION rankgres.lexical_score_v1(term_count integer, headings_weighted boolean) RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
    SELECT '($4 + 1) * (' || string_agg(
        format(
            CASE WHEN headings_weighted THEN
                '($2)[%1$s] * (1 - saturation / (saturation
                    + floor(0.6079271018540267 / (1 - ts_rank(''{1,1,1,1}'', lexemes, ($1)[%1$s])))
                    + ($6 - 1) * floor(0.6079271018540267
                        / (1 - ts_rank(''{0,0,0,1}'', lexemes, ($1)[%1$s])))))'
            ELSE
                '($2)[%1$s] * (1 - saturation / (saturation
                    + floor(0.6079271018540267 / (1 - ts_rank(''{1,1,1,1}'', lexemes, ($1)[%1$s])))))'
            END,
            place
        ),
        ' + '
    ) || ')'
    FROM generate_series(1, term_count) AS place
$function$;
