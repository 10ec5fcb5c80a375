"""Sentences are found by their ends in any script, and shown whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.search.sentences import excerpt, split_sentences

MARKS = ("[", "]")


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["The lamp was lit at dusk.", "Nobody had seen the keeper!", "Had he gone to the village?"],
        ["Dr. Grey and Mrs. Hall met J. S. Mill.", "They paid 3.14 crowns, i.e. too much."],
        ['"Is it raining outside?" she asked.', "“It has been for hours.”", "He closed the book."],
        ["See Fig. 3 for the whole shape of it.", "Version 1.2.3 came later that year."],
        ["The boiler is lit in autumn… and cools in spring.", "It rests all summer long."],
    ],
)  # fmt: skip
def test_a_sentence_ends_where_a_reader_says_so(expected: list[str]) -> None:
    assert sentences(" ".join(expected)) == expected


@pytest.mark.parametrize(
    "expected",
    [
        ["灯塔在黄昏时点亮。", "没有人见过守塔人\uff01", "他去了村子吗\uff1f"],
        ["太郎は「雨だ。」", "次郎は傘を持っていた。"],
    ],
)
def test_scripts_without_blanks_end_sentences_by_their_own_marks(expected: list[str]) -> None:
    assert sentences("".join(expected)) == expected


@pytest.mark.parametrize(
    "expected",
    [
        ["दीपक जलाया गया था।", "किसी ने उसे नहीं देखा।"],
        ["هل أضيء المصباح عند الغروب؟", "لم يره أحد في القرية كلها."],
    ],
)
def test_other_scripts_end_sentences_by_their_own_marks(expected: list[str]) -> None:
    assert sentences(" ".join(expected)) == expected


def test_an_empty_line_and_a_list_item_begin_something_new() -> None:
    text = (
        "A heading without an end\n\nFirst there was this\nwhich went on\n"
        "- then a first item\n2) then a second item"
    )
    assert sentences(text) == [
        "A heading without an end",
        "First there was this\nwhich went on",
        "- then a first item",
        "2) then a second item",
    ]


def test_what_is_too_short_to_stand_alone_joins_the_one_before() -> None:
    text = "Was anybody there at all? No. Then the door opened slowly."
    assert sentences(text) == ["Was anybody there at all? No.", "Then the door opened slowly."]


def test_what_never_ends_is_cut_at_blanks() -> None:
    cut = sentences("lantern " * 200)
    assert max(map(len, cut)) <= 300
    assert {word for piece in cut for word in piece.split()} == {"lantern"}
    # Where there is no blank either, it is cut all the same.
    assert [len(piece) for piece in sentences("ก" * 700)] == [300, 300, 100]


@pytest.mark.parametrize("text", ["", " ", "\n\n \t", "\u3000"])
def test_nothing_has_no_sentence(text: str) -> None:
    assert sentences(text) == []


@given(st.text(st.sampled_from("ab A.!?。\n-1) …\"'\ud800"), max_size=200))
def test_sentences_are_in_order_and_hold_all_but_blanks(text: str) -> None:
    spans = split_sentences(text)
    # Nothing but blanks lies before, between and behind them, and none begins or ends with one.
    edges = [0, *[edge for span in spans for edge in span], len(text)]
    assert edges == sorted(edges)
    gaps = zip(edges[::2], edges[1::2], strict=True)
    assert not any(text[start:end].strip() for start, end in gaps)
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in spans)


def test_an_excerpt_fills_its_width_with_whole_sentences() -> None:
    text = "First one here now. Second one here now. Third one here now. Fourth one here now."
    spans = split_sentences(text)
    assert len(spans) == 4

    def shown(chosen: int, width: int) -> str:
        return excerpt(text, spans, chosen, MARKS, width)

    assert shown(1, 10) == "… [Second one here now.] …"
    assert shown(1, 45) == "… [Second one here now.] Third one here now. …"
    assert shown(3, 45) == "… Third one here now. [Fourth one here now.]"
    assert shown(0, 1000) == f"[{text[:19]}]{text[19:]}"
    assert shown(1, 62) == f"… [Second one here now.]{text[40:]}"


@given(
    st.lists(st.integers(17, 80), min_size=1, max_size=8), st.integers(0, 7), st.integers(1, 200)
)
def test_an_excerpt_is_of_the_text_and_no_wider_than_it_must_be(
    lengths: list[int], chosen: int, width: int
) -> None:
    text = " ".join("A" + "b" * (length - 2) + "." for length in lengths)
    spans = split_sentences(text)
    chosen %= len(spans)
    shown = excerpt(text, spans, chosen, MARKS, width)
    plain = shown.removeprefix("… ").removesuffix(" …").replace("[", "").replace("]", "")
    start, end = spans[chosen]
    assert plain in text
    assert f"[{text[start:end]}]" in shown
    assert len(plain) <= max(width, end - start)
