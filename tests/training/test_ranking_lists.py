import json
from pathlib import Path

import pytest

from service.errors import InvalidInputError
from tests.training.small_lists import small_lists
from workers.training.ranking_lists import (
    RankingList,
    held_out_by,
    read_lists,
    split_lists,
    write_lists,
)


@pytest.mark.parametrize("name", ["lists.jsonl", "lists.jsonl.gz"])
def test_lists_are_read_as_they_were_written(tmp_path: Path, name: str) -> None:
    lists = [*small_lists(3), RankingList("é?", ["a", "b"], [2, 0], teacher=[0.5, -1])]
    write_lists(tmp_path / name, lists)
    assert read_lists(tmp_path / name) == lists
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"query": " ", "passages": ["a"], "labels": [1]}', "'query'"),
        ('{"query": "q", "passages": [], "labels": []}', "'passages'"),
        ('{"query": "q", "passages": ["a"]}', "'labels' is missing"),
        ('{"query": "q", "passages": ["a"], "labels": [1, 0]}', "must hold 1 numbers"),
        ('{"query": "q", "passages": ["a"], "labels": [true]}', "must hold 1 numbers"),
        ('{"query": "q", "passages": ["a"], "labels": [1], "teacher": [NaN]}', "'teacher'"),
    ],
)
def test_a_line_that_is_no_list_is_named(tmp_path: Path, line: str, wrong: str) -> None:
    path = tmp_path / "lists.jsonl"
    good = json.dumps({"query": "q", "passages": ["a"], "labels": [1]})
    path.write_text(f"{good}\n{line}\n", encoding="utf-8")
    with pytest.raises(InvalidInputError, match="line 2") as caught:
        read_lists(path)
    assert wrong in caught.value.detail


def test_a_query_is_always_on_the_same_side_whatever_stands_beside_it() -> None:
    lists = small_lists(400)
    kept, held_out = split_lists(lists, 0.2)
    assert len(kept) + len(held_out) == 400
    assert 50 < len(held_out) < 110
    assert split_lists(lists[::-1], 0.2)[1] == held_out[::-1]
    assert held_out_by("  What  IS it", 0.5) == held_out_by("what is it", 0.5)
    assert split_lists(lists, 0)[1] == []
    # A larger share takes more, and gives none back.
    larger = split_lists(lists, 0.4)[1]
    assert [each for each in held_out if each not in larger] == []
