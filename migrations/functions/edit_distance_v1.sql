-- How many letters have to be left out, added, replaced or swapped with their neighbour to make one
-- text of another, and most + 1 where that is more than most: the distance of Damerau (1964), in which
-- no letter is touched twice (optimal string alignment).
--
-- What both begin and end with is left out, and of the table only the band of most cells beside the
-- diagonal is filled (Ukkonen 1985), until a whole row is above most.
CREATE FUNCTION rankgres.edit_distance_v1(a text, b text, most integer) RETURNS integer
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
DECLARE
    source text [] := string_to_array(a, NULL);
    target text [] := string_to_array(b, NULL);
    source_length integer := length(a);
    target_length integer := length(b);
    skipped integer := 0;
    -- Three rows of the table, one after the other: of this letter and of the two before.
    cells integer [];
    width integer;
    here integer;
    above integer;
    cell integer;
    least_of_row integer;
BEGIN
    IF most < 0 OR abs(source_length - target_length) > most THEN
        RETURN most + 1;
    END IF;
    WHILE source_length > 0 AND target_length > 0
        AND source[source_length] = target[target_length]
    LOOP
        source_length := source_length - 1;
        target_length := target_length - 1;
    END LOOP;
    WHILE skipped < source_length AND skipped < target_length
        AND source[skipped + 1] = target[skipped + 1]
    LOOP
        skipped := skipped + 1;
    END LOOP;
    source_length := source_length - skipped;
    target_length := target_length - skipped;
    IF source_length = 0 OR target_length = 0 THEN
        RETURN least(source_length + target_length, most + 1);
    END IF;

    width := target_length + 2;
    cells := array_fill(most + 1, ARRAY[3 * width]);
    FOR place IN 0..least(target_length, most) LOOP
        cells[place + 1] := place;
    END LOOP;
    FOR row_number IN 1..source_length LOOP
        here := (row_number % 3) * width + 1;
        above := ((row_number + 2) % 3) * width + 1;
        least_of_row := most + 1;
        -- On both sides of the band lies what was written three rows ago.
        cells[here + greatest(row_number - most - 1, 0)] := least(row_number, most + 1);
        IF row_number <= most THEN
            least_of_row := row_number;
        END IF;
        FOR place IN greatest(1, row_number - most)..least(target_length, row_number + most) LOOP
            cell := least(
                cells[above + place] + 1,
                cells[here + place - 1] + 1,
                cells[above + place - 1]
                    + (source[skipped + row_number] <> target[skipped + place])::integer
            );
            IF row_number > 1 AND place > 1
                AND source[skipped + row_number] = target[skipped + place - 1]
                AND source[skipped + row_number - 1] = target[skipped + place]
            THEN
                cell := least(cell, cells[((row_number + 1) % 3) * width + place - 1] + 1);
            END IF;
            cells[here + place] := least(cell, most + 1);
            least_of_row := least(least_of_row, cell);
        END LOOP;
        IF row_number + most + 1 <= target_length THEN
            cells[here + row_number + most + 1] := most + 1;
        END IF;
        -- A swap comes from the row before, which is one lower at most, and is one dearer.
        IF least_of_row > most THEN
            RETURN most + 1;
        END IF;
    END LOOP;
    RETURN cells[(source_length % 3) * width + 1 + target_length];
END
$function$;
