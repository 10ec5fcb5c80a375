"""What every kind of reranker promises alike; remote ones ask a real server with a real model."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.model_cards import DEFAULT_ENCODER, DEFAULT_RERANKER
from service.settings import Settings
from tests.inference.conftest import settings_for
from tests.support.model_endpoint import (
    ModelEndpoint,
    chat_shape,
    documents_shape,
    texts_shape,
)
from workers.inference.reranker import Reranker, load_reranker

LOCAL = ("onnx-int8", "onnx-fp32", "torch", "late")
REMOTE = ("cohere", "jina", "tei")
KINDS = (*LOCAL, *REMOTE, "chat")

QUERY = "how do I run a command with a timeout"
ANSWER = "To run a command with a timeout, subprocess.run waits and kills the child in time."
OTHERS = [
    "Whisk the eggs with the sugar until pale, fold in the flour, and bake for half an hour.",
    "The Danube flows through ten countries before it reaches the Black Sea.",
    "Mitochondria turn sugar into a form of energy that the cell can use.",
    "A sonnet has fourteen lines, and its rhymes follow a pattern.",
]
FILLING = "Whisk the eggs with the sugar until pale, and let the dough rest in the cold. "


def common_words(query: str, passages: Sequence[str]) -> list[float]:
    """Rank by a real rule: how many of the query's words a passage has."""
    asked = set(re.findall(r"\w+", query.lower()))
    return [len(asked & set(re.findall(r"\w+", passage.lower()))) for passage in passages]


class Fleet:
    """Loads each kind once, when first asked for, and keeps its server up."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        self._home = home
        self._stack = stack
        self._loaded: dict[str, Reranker] = {}

    def reranker(self, kind: str) -> Reranker:
        if kind not in self._loaded:
            self._loaded[kind] = self.load(kind)
            self._stack.callback(self._loaded[kind].close)
        return self._loaded[kind]

    def load(self, kind: str) -> Reranker:
        if kind == "late":
            return load_reranker(f"late:{DEFAULT_ENCODER}", settings_for("torch", self._home))
        if kind in LOCAL:
            return load_reranker(DEFAULT_RERANKER, settings_for(kind, self._home))
        return load_reranker(f"{kind}:some-model", self._remote_settings(kind))

    def _remote_settings(self, kind: str) -> Settings:
        shape = {"tei": texts_shape, "chat": chat_shape}.get(kind, documents_shape)
        score = common_words if kind == "chat" else self._score
        endpoint = self._stack.enter_context(ModelEndpoint(shape(score)))
        return Settings.model_validate({"home": self._home, "rerank_url": endpoint.url})

    def _score(self, query: str, passages: Sequence[str]) -> list[float]:
        return known(self.reranker("onnx-int8").score(query, passages, None).scores)


@pytest.fixture(scope="module")
def fleet(model_home: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(model_home, stack)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def reranker(fleet: Fleet, kind: str) -> Reranker:
    return fleet.reranker(kind)


def known(scores: Sequence[float | None]) -> list[float]:
    """Return the scores, all of which must be there."""
    found = [score for score in scores if score is not None]
    assert len(found) == len(scores)
    return found


@pytest.mark.parametrize("place", [0, 2, 4])
def test_scores_come_in_the_order_of_the_passages(reranker: Reranker, place: int) -> None:
    passages = OTHERS.copy()
    passages.insert(place, ANSWER)
    scoring = reranker.score(QUERY, passages, None)
    scores = known(scoring.scores)
    assert scores.index(max(scores)) == place
    assert scoring.windows == [None] * 5


def test_no_passage_gives_no_score(reranker: Reranker) -> None:
    scoring = reranker.score(QUERY, [], time.monotonic() + 60)
    assert (scoring.scores, scoring.windows) == ([], [])


def test_after_the_deadline_nothing_is_scored(reranker: Reranker) -> None:
    scoring = reranker.score(QUERY, [ANSWER, *OTHERS], time.monotonic() - 1)
    assert scoring.scores == [None] * 5
    assert scoring.windows == [None] * 5


def test_a_deadline_scores_a_head_and_leaves_the_rest(reranker: Reranker) -> None:
    passages = [f"{number} {FILLING * 5}" for number in range(3000)]
    scores = reranker.score(QUERY, passages, time.monotonic() + 0.3).scores
    head = scores[: scores.index(None)]
    assert scores == head + [None] * (3000 - len(head))


def test_an_empty_passage_is_scored_below_the_answer(reranker: Reranker) -> None:
    scores = known(reranker.score(QUERY, ["", ANSWER, " \n"], None).scores)
    assert scores.index(max(scores)) == 1


def test_a_long_passage_is_not_silently_cut(reranker: Reranker, kind: str) -> None:
    long = FILLING * 30 + ANSWER + " " + FILLING * 30
    scoring = reranker.score(QUERY, [FILLING, long, ANSWER], None)
    scores = known(scoring.scores)
    assert scoring.windows[0] is None
    assert scoring.windows[2] is None
    place = scoring.windows[1]
    assert place is not None
    assert 0 <= place[0] < place[1] <= len(long)
    if kind == "chat":  # reads the beginning alone, and says so
        assert place[0] == 0
        assert place[1] < len(long)
    else:
        assert "subprocess.run" in long[place[0] : place[1]]
        assert scores[1] > scores[0]


def test_any_text_can_be_scored(reranker: Reranker) -> None:
    passages = [
        "Смерть",
        "مهلة الأمر",
        "命令超时" * 40,
        "👩\u200d💻" * 5,
        "\x00\ufeff\u202e",
        ANSWER,
    ]
    assert len(known(reranker.score(QUERY, passages, None).scores)) == 6
    for query in ("超时 👍 \x00", " ", ""):
        assert len(known(reranker.score(query, passages[:1], None).scores)) == 1


def test_a_query_longer_than_the_model_reads_leaves_room_for_passages(reranker: Reranker) -> None:
    scores = known(reranker.score(f"{QUERY} " * 200, [OTHERS[0], ANSWER], None).scores)
    assert len(scores) == 2


def test_many_threads_get_what_one_would(reranker: Reranker) -> None:
    queries = [f"{QUERY} of {number} seconds" for number in range(4)]
    expected = [known(reranker.score(query, [*OTHERS, ANSWER], None).scores) for query in queries]
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda query: reranker.score(query, [*OTHERS, ANSWER], None), queries)
        for scoring, wanted in zip(found, expected, strict=True):
            assert known(scoring.scores) == pytest.approx(wanted, abs=1e-3)


def test_the_load_tells_what_was_done(reranker: Reranker) -> None:
    before = reranker.load()
    reranker.score(QUERY, [ANSWER, *OTHERS], None)
    after = reranker.load()
    assert after.sequences - before.sequences == 5
    assert after.runs > before.runs
    assert after.tokens_per_second > 0


@pytest.mark.parametrize("kind", ["onnx-int8", "late", "cohere", "chat"])
def test_closing_ends_its_threads_and_can_be_repeated(fleet: Fleet, kind: str) -> None:
    fleet.reranker(kind)  # what stays: its server, and the threads of libraries
    before = own_threads()
    loaded = fleet.load(kind)
    loaded.score(QUERY, [ANSWER, *OTHERS], None)
    loaded.close()
    loaded.close()
    assert own_threads() == before


def own_threads() -> set[threading.Thread]:
    """Return the threads that run models."""
    return {each for each in threading.enumerate() if each.name.startswith("model-")}
