-- An excerpt of a passage with the words of a list of lexemes between two marks: one or two fragments
-- where most different ones of them stand close together. NULL where none of them is in it.
--
-- The excerpt is that of ts_headline, in a tenth of the time, where that can do it: under the
-- configuration that finds most of the lexemes in the passage. It can not where accents are taken off
-- and in scripts without blanks: there, a word is marked if its own lexemes, under any of the
-- configurations, are among those wanted, and the pairs of letters that are lexemes are looked for.
CREATE FUNCTION rankgres.snippet_marked_v1(
    configs text [],
    wanted text [],
    content text,
    start_mark text,
    stop_mark text
) RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    -- What is looked at of a very long passage, and of one that is full of the query's words.
    max_characters constant integer := 20000;
    max_hits constant integer := 200;
    -- A passage that is shown whole.
    max_whole constant integer := 220;
    max_lexemes constant integer := 100;
    -- Blocks of the scripts that write no blanks.
    unspaced constant text :=
        '\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u31ff\u3400-\u9fff'
        '\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff';
    -- A run of what may be a word, or one other character: punctuation, or of these scripts.
    inner_part constant text :=
        '[^\u0001-/:-@\[-`{-\u00a9\u00ab-\u00bf\u2000-\u206f' || unspaced || ']+|.';
    -- "<", which would begin a tag, and punctuation that is a letter under the locale C: hidden from
    -- the parser behind control characters, and put back.
    punctuation constant text :=
        U&'<\00A0\00A1\00AB\00B7\00BB\00BF\060C\061B\061F\2010\2011\2013\2014\2018\2019\201A'
        '\201C\201D\201E\2022\2026\2039\203A\2212';
    hidden constant text :=
        U&'\0001\0002\0003\0004\0005\0006\0007\0008\000B\000C\000E\000F\0010\0011\0012\0013\0014'
        '\0015\0016\0017\0018\0019\001A\001B\001C';
    any_wanted tsquery;
    plain boolean;
    matching text [] := '{}';
    -- What is marked of the matching words: the word, from where to where, which of the wanted it is.
    words text [] := '{}';
    froms integer [] := '{}';
    tos integer [] := '{}';
    whiches integer [] := '{}';
    -- The same by the passage's characters, in their order.
    starts integer [] := '{}';
    stops integer [] := '{}';
    numbers integer [] := '{}';
    config text;
    word text;
    piece text;
    number integer;
    place integer;
    width integer;
    seen integer [];
    shown integer [] := '{}';
    news integer;
    most_news integer;
    best integer;
    best_stop integer;
    fragments int4range [] := '{}';
    fragment int4range;
    first integer;
    last integer;
    excerpt text := '';
BEGIN
    content := left(content, max_characters);
    wanted := wanted[1:max_lexemes];
    any_wanted := (
        SELECT string_agg('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', '|')
        FROM unnest(wanted) AS lexeme
    )::tsquery;
    IF any_wanted IS NULL THEN
        RETURN NULL;
    END IF;
    IF configs[1] NOT LIKE 'unaccent+%' AND content !~ ('[' || unspaced || ']') THEN
        config := configs[1];
        IF cardinality(configs) > 1 THEN
            SELECT given.name INTO config
            FROM unnest(configs) WITH ORDINALITY AS given (name, place)
            ORDER BY ts_rank(rankgres.lexemes_v1(given.name, content), any_wanted) DESC, given.place
            LIMIT 1;
        END IF;
        plain := octet_length(content) = length(content);
        excerpt := ts_headline(
            config::regconfig,
            -- As lexemes_words has it, some dots and slashes end a word.
            regexp_replace(
                regexp_replace(
                    CASE WHEN plain THEN replace(content, '<', E'\x01')
                        ELSE translate(content, punctuation, hidden) END,
                    '(?<=[a-zA-Z_\u00c0-\uffff])\.(?=[a-zA-Z_\u00c0-\uffff])', E'\x1E', 'g'
                ),
                '(?<=[a-zA-Z_\u00c0-\uffff])/(?=[a-zA-Z_\u00c0-\uffff])'
                '|(?<![a-zA-Z0-9_:/\u0001\u00c0-\uffff])/(?=[a-zA-Z_\u00c0-\uffff])', E'\x1D', 'g'
            ),
            any_wanted,
            format('StartSel="%s", StopSel="%s", ', start_mark, stop_mark) || CASE
                WHEN length(content) <= max_whole THEN 'HighlightAll=true'
                ELSE 'MaxFragments=2, MaxWords=30, MinWords=12, FragmentDelimiter=" … "'
            END
        );
        IF strpos(excerpt, start_mark) = 0 THEN
            RETURN NULL;
        END IF;
        excerpt := replace(replace(replace(excerpt, E'\x1E', '.'), E'\x01', '<'), E'\x1D', '/');
        RETURN CASE WHEN plain THEN excerpt ELSE translate(excerpt, hidden, punctuation) END;
    END IF;
    FOREACH config IN ARRAY configs LOOP
        matching := matching || ARRAY(
            SELECT split.word
            FROM (
                SELECT DISTINCT part AS word
                FROM string_to_table(
                    translate(content, U&'\0009\000A\000D\00A0', '    '), ' '
                ) AS part
                WHERE part <> '' AND part <> ALL (matching)
            ) AS split
            WHERE rankgres.lexemes_v1(config, split.word) @@ any_wanted
        );
    END LOOP;
    -- Of (state-of-the-art), the parts that match; of what matches as a whole alone, the whole.
    FOREACH word IN ARRAY matching LOOP
        place := 0;
        number := NULL;
        FOR piece IN SELECT part[1] FROM regexp_matches(word, inner_part, 'g') AS part LOOP
            IF piece !~ ('^[' || unspaced || ']') THEN
                FOREACH config IN ARRAY configs LOOP
                    IF rankgres.lexemes_v1(config, piece) @@ any_wanted THEN
                        number := array_position(wanted, (
                            SELECT lexeme
                            FROM unnest(tsvector_to_array(rankgres.lexemes_v1(config, piece))) AS lexeme
                            WHERE lexeme = ANY (wanted)
                            LIMIT 1
                        ));
                        words := words || word;
                        froms := froms || place;
                        tos := tos || place + length(piece);
                        whiches := whiches || number;
                        EXIT;
                    END IF;
                END LOOP;
            END IF;
            place := place + length(piece);
        END LOOP;
        -- What is cut into pairs is looked for below.
        IF number IS NULL AND word !~ ('[' || unspaced || ']') THEN
            words := words || word;
            froms := froms || length(word) - length(ltrim(word, '("''['));
            tos := tos || length(rtrim(word, '.,;:!?)"''’”]…'));
            whiches := whiches || 0;
        END IF;
    END LOOP;
    place := 0;
    IF words <> '{}' THEN
        FOREACH piece IN ARRAY string_to_array(translate(content, U&'\0009\000A\000D\00A0', '    '), ' ')
        LOOP
            IF piece = ANY (words) AND cardinality(starts) < max_hits THEN
                FOR number IN 1..cardinality(words) LOOP
                    IF words[number] = piece THEN
                        starts := starts || place + froms[number];
                        stops := stops || place + tos[number];
                        numbers := numbers || whiches[number];
                    END IF;
                END LOOP;
            END IF;
            place := place + length(piece) + 1;
        END LOOP;
    END IF;
    seen := '{}';
    FOR number IN 1..cardinality(wanted) LOOP
        -- A letter before it stays apart only from what is cut into pairs.
        CONTINUE WHEN octet_length(wanted[number]) = length(wanted[number])
            OR strpos(content, wanted[number]) = 0
            OR rankgres.lexemes_words_v1('a' || wanted[number], false) NOT LIKE 'a %';
        place := 0;
        FOREACH piece IN ARRAY string_to_array(content, wanted[number]) LOOP
            place := place + length(piece);
            EXIT WHEN place >= length(content) OR cardinality(starts) >= 2 * max_hits;
            starts := starts || place;
            place := place + length(wanted[number]);
            stops := stops || place;
            numbers := numbers || number;
            seen := seen || number;
        END LOOP;
    END LOOP;
    IF starts = '{}' THEN
        RETURN NULL;
    ELSIF seen <> '{}' THEN
        SELECT
            array_agg(hit.start ORDER BY hit.start, hit.stop),
            array_agg(hit.stop ORDER BY hit.start, hit.stop),
            array_agg(hit.number ORDER BY hit.start, hit.stop)
        INTO starts, stops, numbers
        FROM unnest(starts, stops, numbers) AS hit (start, stop, number);
    END IF;

    -- Han, kana and Hangul say in one character what others say in three.
    width := CASE WHEN substr(content, starts[1] + 1, 100) ~ '[\u3040-\u9fff\uac00-\ud7a3]{4}' THEN 70
        ELSE 170 END;
    IF length(content) <= least(1.3 * width, max_whole) THEN
        fragments := ARRAY[int4range(0, length(content))];
    ELSE
        -- Twice what says most that has not been shown: the most different words, then the earliest.
        FOR turn IN 1..2 LOOP
            most_news := 0;
            FOR hit IN 1..cardinality(starts) LOOP
                CONTINUE WHEN numbers[hit] = ANY (shown);
                seen := shown;
                news := 0;
                place := hit;
                WHILE place <= cardinality(starts) AND stops[place] <= starts[hit] + width LOOP
                    IF numbers[place] <> ALL (seen) THEN
                        seen := seen || numbers[place];
                        news := news + 1;
                    END IF;
                    place := place + 1;
                END LOOP;
                IF greatest(news, 1) > most_news THEN
                    most_news := greatest(news, 1);
                    best := hit;
                    best_stop := greatest(stops[hit], stops[greatest(hit, place - 1)]);
                END IF;
            END LOOP;
            EXIT WHEN most_news = 0;
            FOR hit IN best..cardinality(starts) LOOP
                EXIT WHEN starts[hit] >= best_stop;
                shown := shown || numbers[hit];
            END LOOP;
            -- Room on both sides: from the beginning of a sentence, if one is near, else of a word.
            first := greatest(0, starts[best] - (width - (best_stop - starts[best])) / 2);
            IF first > 0 THEN
                piece := substr(content, first + 1, starts[best] - first);
                first := first + coalesce(
                    length(substring(piece FROM '^.*(?:[.!?]["''”’)]?\s+|[。！？][」』”]?)')),
                    length(substring(piece FROM '^\S*\s+')),
                    0
                );
            END IF;
            last := least(length(content), greatest(first + width, best_stop));
            IF last < length(content) THEN
                last := best_stop + coalesce(
                    length(substring(
                        substr(content, best_stop + 1, last - best_stop + 1) FROM '^(.*)\s'
                    )),
                    last - best_stop
                );
            END IF;
            fragments := fragments || int4range(first, last);
        END LOOP;
    END IF;

    last := 0;
    FOR fragment IN SELECT unnest(range_agg(given)) FROM unnest(fragments) AS given LOOP
        excerpt := excerpt || CASE
            WHEN lower(fragment) = 0 THEN ''
            WHEN excerpt = '' THEN '… '
            ELSE ' … '
        END;
        last := lower(fragment);
        place := 1;
        WHILE place <= cardinality(starts) AND starts[place] < upper(fragment) LOOP
            IF starts[place] >= last THEN
                first := starts[place];
                excerpt := excerpt || substr(content, last + 1, first - last) || start_mark;
                last := stops[place];
                -- Pairs that overlap, and neighbours of a script without blanks, are one stretch.
                WHILE starts[place + 1] <= last AND stops[place + 1] <= upper(fragment) LOOP
                    place := place + 1;
                    last := greatest(last, stops[place]);
                END LOOP;
                excerpt := excerpt || substr(content, first + 1, last - first) || stop_mark;
            END IF;
            place := place + 1;
        END LOOP;
        excerpt := excerpt || substr(content, last + 1, upper(fragment) - last);
        last := greatest(last, upper(fragment));
    END LOOP;
    RETURN excerpt || CASE WHEN last < length(content) THEN ' …' ELSE '' END;
END
$function$;
