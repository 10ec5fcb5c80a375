"""Passages without a word of the query show the sentence nearest to it, by the real encoder."""

import base64
import time
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from service.local.redis import EmbeddedRedis
from service.model_cards import DEFAULT_ENCODER
from service.search.semantic_snippets import SnippetChoice, choose_snippets
from service.search.task_sender import TaskSender
from tests.support.stack import RealStack
from workers.compare_sentences import compare_sentences
from workers.loaded_models import encoder

QUERY = "how do cats sleep"
#: Far longer than it takes: the time is not what is tested.
LONG_MS = 60_000.0
MARKS = ("<", ">")

KITTENS = (
    "The railway was opened in the spring of that year. "
    "Kittens doze through most of the day, curled up in a warm place. "
    "Its bridges were the longest in the country for decades."
)
GALAXY = (
    "Stars of the outer arm move faster than was thought. "
    "The telescope was built on a mountain in Chile by a small team. "
    "Felines take many short naps."
)


@pytest.fixture(scope="module")
def embedding() -> NDArray[np.float32]:
    found: NDArray[np.float32] = encoder(DEFAULT_ENCODER).encode([QUERY], "query").embeddings[0]
    return found


@pytest.fixture
def sender(stack: RealStack) -> TaskSender:
    return TaskSender(stack.record.redis_url)


def choose(
    sender: TaskSender,
    embedding: NDArray[np.float32] | None,
    texts: Sequence[str],
    marked: Sequence[str] | None = None,
    budget_ms: float = LONG_MS,
) -> SnippetChoice:
    beginnings = [text[:20] for text in texts] if marked is None else marked
    return choose_snippets(
        sender,
        DEFAULT_ENCODER,
        embedding,
        texts,
        beginnings,
        marks=MARKS,
        budget_ms=budget_ms,
    )


def test_the_sentence_nearest_in_meaning_is_marked(
    sender: TaskSender, embedding: NDArray[np.float32]
) -> None:
    choice = choose(sender, embedding, [KITTENS, GALAXY])
    assert [snippet.source for snippet in choice.snippets] == ["meaning", "meaning"]
    first, second = (snippet.text for snippet in choice.snippets)
    assert "<Kittens doze through most of the day, curled up in a warm place.>" in first
    assert "<Felines take many short naps.>" in second
    assert choice.reason is None
    assert choice.model_ms > 0


def test_where_words_are_marked_they_stay(
    sender: TaskSender, embedding: NDArray[np.float32]
) -> None:
    marked = ["The <cats> of the railway", KITTENS[:20]]
    choice = choose(sender, embedding, [GALAXY, KITTENS], marked)
    assert choice.snippets[0].text == marked[0]
    assert [snippet.source for snippet in choice.snippets] == ["words", "meaning"]


@pytest.fixture
def lonely(redis_server: EmbeddedRedis) -> TaskSender:
    """A way to no worker: nothing that is asked is answered."""
    return TaskSender(redis_server.url)


def test_nothing_is_asked_where_nothing_can_be_chosen(
    lonely: TaskSender, embedding: NDArray[np.float32]
) -> None:
    # Only words, no embedding to compare with, one sentence, and no text at all.
    for texts, marked, given in (
        ([KITTENS], ["a <cat>"], embedding),
        ([KITTENS], ["The railway"], None),
        (["One sentence and no more."], ["One sentence"], embedding),
        ([""], [""], embedding),
        ([], [], embedding),
    ):
        choice = choose(lonely, given, texts, marked)
        assert choice.reason is None
        assert [snippet.text for snippet in choice.snippets] == marked
        assert all(snippet.source != "meaning" for snippet in choice.snippets)


def test_without_a_worker_passages_show_their_beginning(
    lonely: TaskSender, embedding: NDArray[np.float32]
) -> None:
    choice = choose(lonely, embedding, [KITTENS, GALAXY], ["a <cat>", "Stars of"])
    assert choice.reason == "no_worker"
    assert [(snippet.text, snippet.source) for snippet in choice.snippets] == [
        ("a <cat>", "words"),
        ("Stars of", "beginning"),
    ]


def test_without_time_passages_show_their_beginning(
    sender: TaskSender, embedding: NDArray[np.float32]
) -> None:
    choice = choose(sender, embedding, [KITTENS], budget_ms=0.001)
    assert choice.reason == "timeout"
    assert choice.snippets[0].source == "beginning"


def compare(
    embedding: NDArray[np.float32], passages: list[list[str]], seconds: float = 60
) -> list[list[float] | None]:
    answer = compare_sentences(
        model=DEFAULT_ENCODER,
        embedding=base64.b64encode(embedding.astype("<f4").tobytes()).decode(),
        passages=passages,
        deadline=time.time() + seconds,
    )
    similarities: list[list[float] | None] = answer["similarities"]
    return similarities


def test_the_worker_returns_cosines_by_passage(embedding: NDArray[np.float32]) -> None:
    passages = [["Cats nap.", "Trains run late."], [QUERY]]
    (nap, train), (same,) = (found for found in compare(embedding, passages) if found is not None)
    assert 1 >= nap > train >= -1
    assert same == pytest.approx(1, abs=0.01)
    assert compare(embedding, []) == []


def test_past_the_deadline_the_worker_compares_nothing(embedding: NDArray[np.float32]) -> None:
    assert compare(embedding, [["Cats nap."], ["Trains run."]], seconds=-1) == [None, None]


def test_the_worker_leaves_what_would_not_be_done_in_time(embedding: NDArray[np.float32]) -> None:
    # The second passage is a million times as long as the first: no machine does both by then.
    first, second = compare(embedding, [["Cats nap."], ["Trains run. " * 1_000_000]], seconds=60)
    assert first is not None
    assert second is None
