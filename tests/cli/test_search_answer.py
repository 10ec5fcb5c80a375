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
    "cut": 0,
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
        (
            {"degraded": [{"stage": "vector", "reason": "timeout", "retry_after_ms": None}]},
            "without vector: timeout\n",
        ),
        (
            {"degraded": [{"stage": "rerank", "reason": "overloaded", "retry_after_ms": 250.0}]},
            "without rerank: overloaded, try again in 0.2 s\n",
        ),
        ({"cut": 3}, "below the least relevance: 3\n"),
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


def model(name: str, scored: int, of: int) -> dict[str, Any]:
    return {"model": name, "scored": scored, "of": of}


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ([model("small", 63, 100)], "reranked 63 of 100"),
        ([model("small", 40, 40), model("large", 5, 20)], "reranked 40 of 40, then 5 of 20"),
    ],
)
def test_what_each_model_scored_is_told(
    capsys: pytest.CaptureFixture[str], models: list[dict[str, Any]], told: str
) -> None:
    reranked = {**models[0], "state": "partial", "models": models}
    print_answer(ANSWER | {"reranked": reranked}, "library", explain=False)
    assert capsys.readouterr().out == f"nothing found\n5 ms, {told}\n"
    explain = {"rerank": {"reason": "budget"}}
    print_answer(ANSWER | {"reranked": reranked, "explain": explain}, "library", explain=True)
    assert capsys.readouterr().out.endswith(f"total 5.2 ms, {told}, depth by budget\n")


def result(name: str, relevance: float | None, second: int | None) -> dict[str, Any]:
    place = {"rank": 1, "score": 0.5}
    return {
        "rank": 1,
        "id": name,
        "relevance": relevance,
        "passages": [{"heading": "", "snippet": "words", "snippet_source": "words"}],
        "stages": {
            "lexical": None,
            "vector": place,
            "fused": place,
            "rerank": place,
            "rerank_second": second and {"rank": second, "score": 1.0},
        },
    }


def test_relevance_has_a_column_where_anything_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    found = [result("a", 0.934, None), result("b", None, None)]
    print_answer(ANSWER | {"results": found}, "library", explain=False)
    first, _, second, *_ = capsys.readouterr().out.splitlines()
    assert first.split() == ["1", "a", "a", "0.93"]
    assert second.split() == ["1", "b", "b"]


def test_the_second_model_has_a_column_where_it_took_part(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_answer(ANSWER | {"results": [result("a", None, 7)]}, "library", explain=True)
    header, first, *_ = capsys.readouterr().out.splitlines()
    assert header.split()[-2:] == ["rerank", "rerank_second"]
    assert first.split()[-2:] == ["1", "7"]
