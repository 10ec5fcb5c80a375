-- Trigger: spells a chunk's lexemes as text, each as often as it stands there, for the index of
-- pg_textsearch, which reads text only. Fires on partitions with such an index, whoever writes them.
--
-- Writers take turns: pg_textsearch 1.0.0 holds a lock of the index from a transaction's first row to
-- its end, one that no cancellation, no timeout and no detection of deadlocks reaches. Whoever waits
-- for ours waits with these, and before it has written anything that another could wait for.
CREATE FUNCTION rankgres.chunk_textsearch_v1() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('rankgres.textsearch', NEW.generation_id));
    NEW.textsearch_words := (
        SELECT coalesce(
            string_agg(
                repeat(
                    rankgres.textsearch_word_v1(lexeme) || ' ', coalesce(cardinality(positions), 1)
                ),
                ''
            ),
            ''
        )
        FROM unnest(NEW.lexemes)
    );
    RETURN NEW;
END
$function$;
