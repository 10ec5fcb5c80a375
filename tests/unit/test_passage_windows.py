"""Windows of long passages, cut by an estimate: nothing is left out, and each fits."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from workers.inference.passage_windows import (
    Window,
    best_of,
    estimated_tokens,
    split_passage,
)

TEXTS = st.text(st.sampled_from("ab  命é."), max_size=300) | st.text("word ", max_size=300)


@given(TEXTS, st.integers(4, 60))
def test_windows_are_the_whole_text_and_each_fits(text: str, tokens: int) -> None:
    windows = split_passage(7, text, tokens)
    assert {window.passage for window in windows} == {7}
    assert windows[0].start == 0
    assert windows[-1].end == len(text)
    for window in windows:
        assert estimated_tokens(text[window.start : window.end]) <= tokens + 1
    for before, after in pairwise(windows):
        assert before.start < after.start
        skipped = text[before.end : after.start]
        assert not skipped.strip()


def test_a_text_that_fits_is_one_window() -> None:
    assert split_passage(0, "", 4) == [Window(0, 0, 0, 0)]
    assert [(each.start, each.end) for each in split_passage(0, "a" * 12, 4)] == [(0, 12)]
    assert len(split_passage(0, "a" * 13, 4)) == 2


def test_a_character_of_a_script_without_spaces_is_a_token() -> None:
    assert estimated_tokens("命令超时") == 5
    assert len(split_passage(0, "命令超时", 3)) == 2


def test_the_best_window_counts_and_is_named_where_there_are_several() -> None:
    windows = [Window(0, 0, 5, 1), Window(1, 0, 9, 1), Window(1, 8, 20, 1), Window(2, 0, 3, 1)]
    assert best_of(windows, [1.0, 2.0, 3.0, None], 3) == ([1.0, 3.0, None], [None, (8, 20), None])


def test_a_passage_is_scored_when_all_of_its_windows_are() -> None:
    windows = [Window(0, 0, 9, 1), Window(0, 8, 20, 1)]
    assert best_of(windows, [2.0, None], 1) == ([None], [None])
