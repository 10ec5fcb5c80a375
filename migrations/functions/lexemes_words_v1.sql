-- Text as the parser of Postgres is to read it, so that words come out alike on every server.
--
-- "<" and ">" become blanks: the parser takes what is between them for a tag and drops it, which loses
-- String from List<String>. So do a dot and a slash between two letters, and a slash before a word: the
-- parser takes os.path.join, and/or and /usr/bin for one word each, in which none of theirs is found
-- (nDCG@10 over 32,000 passages of technical documentation: 0.872, with such words whole 0.864).
-- Text beyond ASCII is normalised (NFKC: one spelling of an accented letter, of a ligature, of a
-- full-width letter), and its punctuation becomes blanks, because under the locale C the parser takes
-- all that is not ASCII for letters.
--
-- Scripts that write no blanks between words are cut into overlapping pairs, as Lucene's CJKAnalyzer
-- does: a run 中文分词 becomes 中文 文分 分词, and one character alone stays. Hangul is cut too: its
-- particles are written onto the word, and no configuration of Postgres takes them off. In Thai, Lao,
-- Khmer and Myanmar a pair is of letters with their marks (nDCG@10 on XQuAD in Thai: 0.966, trigrams
-- 0.969, and pairs also find words of two letters; Chinese: 0.963).
--
-- With strip_accents, letters lose their accents; й stays, which is no и.
CREATE FUNCTION rankgres.lexemes_words_v1(content text, strip_accents boolean) RETURNS text
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
AS $function$
DECLARE
    punctuation constant text :=
        -- Latin-1 (not ª, ², ³, µ, ¹, º, ¼, ½, ¾), Greek, Armenian, Hebrew, Arabic, Indic, Tibetan
        '[<>\u00a0-\u00a9\u00ab\u00ac\u00ae-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7'
        '\u037e\u0387\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u05f3\u05f4\u060c\u061b\u061e\u061f'
        '\u066a-\u066d\u06d4\u0964\u0965\u0df4\u0e3f\u0e4f\u0e5a\u0e5b\u0f04-\u0f14\u104a-\u104f'
        '\u1361-\u1368\u17d4-\u17d6\u17d8-\u17da'
        -- general punctuation, currencies, signs, arrows to symbols, CJK, private use, emoji
        '\u2000-\u206f\u20a0-\u20cf\u2117\u2120-\u2122\u2190-\u2bff\u2e00-\u2e7f'
        '\u3000-\u3004\u3008-\u3020\u3030\u303d-\u303f\u30a0\u30fb\ue000-\uf8ff\ufe00-\ufe6f\ufeff'
        '\uff61-\uff65\ufff9-\uffff\U0001f000-\U0001faff]';
    -- All but ASCII, common Latin, Greek, Cyrillic, Hebrew and Arabic letters, kana, Han and Hangul:
    -- what NFKC may change.
    abnormal constant text :=
        '[^\u0001-\u007f\u00c0-\u0131\u0134-\u013e\u0141-\u0148\u014a-\u017e\u0386-\u03ce'
        '\u0400-\u0481\u048a-\u052f\u05d0-\u05ea\u0620-\u064a\u0660-\u0669\u0671-\u0674'
        '\u0679-\u06d3\u3005-\u3007\u3041-\u3096\u309d\u309e\u30a1-\u30fa\u30fc-\u30fe'
        '\u3105-\u312f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]';
    -- A letter that begins a unit of a pair; the marks that may follow it.
    letter constant text :=
        '\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b\u3041-\u3096\u309d-\u309f\u30a1-\u30fa'
        '\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff'
        '\U00020000-\U0003ffff\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7a3'
        '\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0edc-\u0edf'
        '\u1780-\u17b3\u17d7\u17dc\u1000-\u102a\u103f\u1050-\u1055\u105a-\u105d\u1061\u1065\u1066'
        '\u106e-\u1070\u1075-\u1081\u108e';
    mark constant text :=
        '\u3099\u309a\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u17b4-\u17d3'
        '\u102b-\u103e\u1056-\u1059\u105e-\u1060\u1062-\u1064\u1067-\u106d\u1071-\u1074\u1082-\u108d';
BEGIN
    IF octet_length(content) = length(content) THEN
        RETURN replace(replace(regexp_replace(
            content, '(?<=[a-zA-Z_])[./](?=[a-zA-Z_])|(?<![a-zA-Z0-9_:/<])/(?=[a-zA-Z_])', ' ', 'g'
        ), '<', ' '), '>', ' ');
    END IF;
    -- An apostrophe as typed; a soft hyphen is no character of its word.
    content := replace(replace(content, U&'\2019', ''''), U&'\00AD', '');
    content := regexp_replace(
        content,
        '(?<=[a-zA-Z_\u00c0-\uffff])[./](?=[a-zA-Z_\u00c0-\uffff])'
        '|(?<![a-zA-Z0-9_:/<\u00c0-\uffff])/(?=[a-zA-Z_\u00c0-\uffff])|' || punctuation,
        ' ', 'g'
    );
    -- Most text is normal, and the look costs a tenth of normalising it.
    IF content ~ abnormal THEN
        -- NFKC takes am of Thai and Lao apart, which everybody types as one letter.
        content := replace(replace(
            normalize(content, NFKC), U&'\0E4D\0E32', U&'\0E33'), U&'\0ECD\0EB2', U&'\0EB3');
    END IF;
    IF strip_accents THEN
        content := normalize(
            regexp_replace(normalize(content, NFD), '(?<![Ии])[\u0300-\u036f]', '', 'g'), NFC
        );
        -- These letters have no accent that could be taken away.
        content := replace(replace(replace(replace(replace(replace(replace(
            translate(content, 'ØøŁłĐđÐðĦħĿŀŦŧı', 'OoLlDdDdHhLlTti'),
            'ß', 'ss'), 'ẞ', 'SS'), 'æ', 'ae'), 'Æ', 'AE'), 'œ', 'oe'), 'Œ', 'OE'), 'þ', 'th');
    END IF;
    IF content ~ ('[' || letter || ']') THEN
        -- Apart from words of other scripts beside them.
        content := regexp_replace(content, '[' || letter || mark || ']+', ' \& ', 'g');
        -- A unit between two others is the second of one pair and the first of the next.
        content := regexp_replace(
            content,
            '(?<=[' || letter || mark || '])[' || letter || '][' || mark || ']*(?=[' || letter || '])',
            '\& \&',
            'g'
        );
    END IF;
    RETURN content;
END
$function$;
