"""How an answer is printed that a healthy stack does not give."""

from typing import Any

import pytest

from service.cli.search_answer import print_answer

ANSWER: dict[str, Any] = {
    "results": [],
    "degraded": [],
    "complete": True,
    "incomplete_reason": None,
    "corrections": {},
    "relaxed": False,
    "reranked": None,
    "facets": None,
    "next_cursor": None,
    "gone": 0,
    "timings": {"total": 5.2},
    "explain": None,
}


@pytest.mark.parametrize(
    ("members", "warning"),
    [
        ({"complete": False, "incomplete_reason": "deadline"}, "not complete: deadline\n"),
        ({"gone": 2}, "deleted since the search: 2\n"),
        ({"degraded": [{"stage": "vector", "reason": "timeout"}]}, "without vector: timeout\n"),
        ({}, ""),
    ],
    ids=str,
)
def test_what_is_missing_is_told_beside_the_results(
    capsys: pytest.CaptureFixture[str], members: dict[str, Any], warning: str
) -> None:
    print_answer(ANSWER | members, "library", explain=False)
    assert capsys.readouterr() == ("nothing found\n5 ms\n", warning)


def test_an_estimated_count_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    counts = [
        {"value": "[sic]", "documents": 12_000, "exact": False},
        {"value": None, "documents": 3, "exact": False},
    ]
    print_answer(ANSWER | {"facets": {"kind": counts}}, "library", explain=False)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["kind", "[sic]", "about", "12,000"] in rows
    assert ["null", "about", "3"] in rows
