"""Listwise reranking: windows, what is read of a chat model's answer, and deadlines."""

import time
from typing import Any

import pytest

from service.errors import ModelUnavailableError
from service.settings import Settings
from tests.support.model_endpoint import ModelEndpoint, Refusal, chat_shape
from workers.inference.backend import ModelBusyError
from workers.inference.listwise_reranker import (
    ListwiseReranker,
    read_permutation,
    window_starts,
)
from workers.inference.reranker import load_reranker


def by_number(_query: str, passages: Any) -> list[float]:
    """Rank by a real rule: the passage with the highest number first."""
    return [float(passage.split()[-1]) for passage in passages]


def reranker(endpoint: ModelEndpoint) -> ListwiseReranker:
    loaded = load_reranker("chat:any", Settings(rerank_url=endpoint.url))
    assert isinstance(loaded, ListwiseReranker)
    endpoint.callers.callback(loaded.close)
    return loaded


def message(content: object) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}}]}


@pytest.mark.parametrize(
    ("passages", "starts"),
    [
        (0, []),
        (1, [0]),
        (20, [0]),
        (21, [1, 0]),
        (30, [10, 0]),
        (35, [15, 5, 0]),
        (100, [*range(80, -1, -10)]),
    ],
)
def test_windows_slide_from_the_end_to_the_beginning(passages: int, starts: list[int]) -> None:
    assert window_starts(passages) == starts


@pytest.mark.parametrize(
    ("answer", "order"),
    [
        ("[3] > [1] > [2]", [2, 0, 1]),
        ("Sure! Here it is:\n[3]>[1]>[2].", [2, 0, 1]),
        ("[3] > [1]", [2, 0, 1]),  # missing ones follow
        ("[2] > [2] > [3] > [2] > [1]", [1, 2, 0]),  # repeated ones count once
        ("[0] > [7] > [3] > [99999] > [1]", [2, 0, 1]),  # foreign ones do not count
        ("3, 1, 2", [2, 0, 1]),
        ("Of 3 passages: [2] > [1]", [1, 0, 2]),  # brackets go before bare numbers
        ("<think>[1] > [2]? No.</think>[3] > [2] > [1]", [2, 1, 0]),
        ("none of them", None),
        ("", None),
        ("[4] [5]", None),
    ],
)
def test_a_permutation_is_read_from_whatever_is_said(answer: str, order: list[int] | None) -> None:
    assert read_permutation(answer, 3) == order


def test_the_best_of_the_end_comes_to_the_front_window_by_window() -> None:
    with ModelEndpoint(chat_shape(by_number)) as endpoint:
        scores = reranker(endpoint).score("q", [f"number {n}" for n in range(50)], None).scores
    assert len(endpoint.bodies) == 4
    order = sorted(range(50), key=lambda place: -(scores[place] or 0))
    assert order[:10] == list(range(49, 39, -1))  # a bubble carries ten, and they are all there
    assert sorted(scores, key=lambda score: score or 0) == pytest.approx(
        [rank / 50 for rank in range(1, 51)]
    )


def test_a_deadline_takes_as_many_windows_as_fit_at_the_speed_seen() -> None:
    passages = [f"number {n}" for n in range(50)]
    with ModelEndpoint(chat_shape(by_number)) as endpoint:
        model = reranker(endpoint)
        first = model.score("q", passages, time.monotonic() + 60).scores
        assert [score is not None for score in first] == [True] * 20 + [False] * 30
        model._seconds_per_window = 20.0
        second = model.score("q", passages, time.monotonic() + 59).scores
        assert [score is not None for score in second] == [True] * 30 + [False] * 20
        assert len(endpoint.bodies) == 1 + 2


def test_windows_that_did_not_reach_the_front_in_time_score_nothing() -> None:
    ranked = chat_shape(by_number)

    def ever_slower(body: Any) -> Any:
        time.sleep(0.4 * (len(endpoint.bodies) - 1))
        return ranked(body)

    with ModelEndpoint(ever_slower) as endpoint:
        model = reranker(endpoint)
        model._seconds_per_window = 0.01
        passages = [f"number {n}" for n in range(40)]
        assert model.score("q", passages, time.monotonic() + 0.3).scores == [None] * 40
        assert len(endpoint.bodies) <= 2
        assert model._seconds_per_window > 0.01


def test_a_window_that_cannot_be_read_keeps_its_order() -> None:
    ranked = chat_shape(by_number)

    def rank_once(body: Any) -> Any:
        return ranked(body) if len(endpoint.bodies) == 1 else message("I would rather not.")

    with ModelEndpoint(rank_once) as endpoint:
        scores = reranker(endpoint).score("q", [f"number {n}" for n in range(30)], None).scores
    order = sorted(range(30), key=lambda place: -(scores[place] or 0))
    assert order[:10] == list(range(10))
    assert order[10:] == list(range(29, 9, -1))


@pytest.mark.parametrize("content", ["I would rather not.", None, 3])
def test_a_model_that_orders_nothing_is_an_error(content: object) -> None:
    with (
        ModelEndpoint(lambda _: message(content)) as endpoint,
        pytest.raises(ModelUnavailableError, match="answers with"),
    ):
        reranker(endpoint).score("q", ["a", "b"], None)


def test_a_busy_chat_model_is_waited_for_or_says_when() -> None:
    with ModelEndpoint(chat_shape(by_number)) as endpoint:
        model = reranker(endpoint)
        endpoint.refusals.append(Refusal(429, {"Retry-After": "0.1"}))
        assert model.score("q", ["1", "2"], time.monotonic() + 60).scores == [0.5, 1]
        endpoint.refusals.append(Refusal(429, {"Retry-After": "500"}))
        with pytest.raises(ModelBusyError):
            model.score("q", ["1", "2"], time.monotonic() + 60)


def test_one_passage_needs_no_asking() -> None:
    with ModelEndpoint(chat_shape(by_number)) as endpoint:
        assert reranker(endpoint).score("q", ["alone 1"], None).scores == [1]
    assert endpoint.bodies == []
