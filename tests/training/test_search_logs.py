import json
from pathlib import Path
from typing import Any

import pytest

from service.errors import InvalidInputError
from workers.training.search_logs import SearchLog


def log(tmp_path: Path, *searches: Any, min_clicks: int = 1) -> SearchLog:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(search) + "\n" for search in searches), encoding="utf-8")
    return SearchLog(path, min_clicks)


def test_clicks_are_relevant_and_what_was_passed_over_above_them_is_not(tmp_path: Path) -> None:
    source = log(
        tmp_path,
        {"query": "Install it", "clicked": ["c"], "shown": ["a", "b", "c", "d"]},
        {"query": "install  it", "clicked": ["b"]},
        {"query": "nobody opened this", "clicked": [], "shown": ["a", "b"]},
    )
    [query] = source.read()
    assert query.text == "Install it"
    # d stands below the last click: perhaps it was never seen. b was passed over, then opened.
    assert query.grades == {"c": 1.0, "b": 1.0, "a": 0.0}


def test_a_document_opened_too_rarely_is_neither(tmp_path: Path) -> None:
    source = log(
        tmp_path,
        {"query": "q", "clicked": ["a", "b"]},
        {"query": "q", "clicked": ["a"], "shown": ["b", "a"]},
        {"query": "rare", "clicked": ["a"]},
        min_clicks=2,
    )
    [query] = source.read()
    assert query.grades == {"a": 1.0}


def test_two_clicks_on_one_page_are_one(tmp_path: Path) -> None:
    source = log(tmp_path, {"query": "q", "clicked": ["a", "a"]}, min_clicks=2)
    assert list(source.read()) == []


@pytest.mark.parametrize(
    "search",
    [[], {"clicked": ["a"]}, {"query": "q", "clicked": "a"}, {"query": "q", "shown": [1]}],
)
def test_a_line_of_another_form_is_named(tmp_path: Path, search: Any) -> None:
    source = log(tmp_path, {"query": "q", "clicked": ["a"]}, search)
    with pytest.raises(InvalidInputError, match="line 2"):
        list(source.read())
