from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from service.collections.collection import active_generation
from service.db.connection import Connection
from tests.support.collections import chunk, make_collection, replace_chunks
from workers.inference.reranker import Scoring
from workers.training.labelled_queries import KnownPassage, LabelledQuery
from workers.training.mining import MinedQuery, Miner, MiningRules, overlap, shingles

QUERY = np.array([1, 0, 0, 0], np.float32)
RULES = MiningRules(depth=20, negatives=7, skip_top=0, most_similar=2)


def near(similarity: float) -> list[float]:
    """Return an embedding of that cosine to the query's."""
    return [similarity, (1 - similarity**2) ** 0.5, 0, 0]


@pytest.fixture
def papers(connection: Connection) -> Connection:
    """A collection of documents d0 … d9, ever further from the query."""
    generation = make_collection(connection)
    chunks = [
        chunk(
            f"d{number}",
            f"pump number {number} of the row that stands in hall {number * 7}",
            heading=f"Hall {number}",
            embedding=near(1 - number / 20),
        )
        for number in range(10)
    ]
    replace_chunks(connection, generation, chunks)
    return connection


def mine(
    connection: Connection,
    grades: Mapping[str, float],
    rules: MiningRules = RULES,
    **options: Any,
) -> MinedQuery:
    judge = options.pop("judge", None)
    miner = Miner(connection, active_generation(connection, "papers"), rules, judge)
    return miner.mine(LabelledQuery("q1", "pump", grades, **options), QUERY)


def documents(texts: Sequence[str]) -> list[str]:
    return [f"d{text.split('number ')[1].split()[0]}" for text in texts]


def negatives(mined: MinedQuery) -> list[str]:
    assert mined.lesson
    wrong = [
        text
        for text, label in zip(mined.lesson.passages, mined.lesson.labels, strict=True)
        if label == 0
    ]
    return documents(wrong)


def test_what_answers_is_never_a_negative(papers: Connection) -> None:
    mined = mine(papers, {"d2": 1, "d4": 3, "d6": 1})
    assert mined.lesson
    assert documents(mined.lesson.passages[:2]) == ["d4", "d2"]  # the best, and no more than two
    assert mined.lesson.labels[:2] == [3, 1]
    assert set(negatives(mined)) == {"d0", "d1", "d3", "d5", "d7", "d8", "d9"}


def test_the_first_unjudged_candidates_are_left_out(papers: Connection) -> None:
    rules = MiningRules(depth=20, negatives=20, skip_top=2, most_similar=2)
    assert set(negatives(mine(papers, {"d1": 1}, rules))) == {f"d{n}" for n in range(3, 10)}


def test_what_is_almost_as_near_as_the_positive_is_left_out(papers: Connection) -> None:
    rules = MiningRules(depth=20, negatives=20, skip_top=0, most_similar=0.9)
    # The positive's cosine is 0.9, so that 0.81 is the most: d4 has 0.8.
    assert set(negatives(mine(papers, {"d2": 1}, rules))) == {f"d{n}" for n in range(4, 10)}


def test_a_near_copy_of_the_positive_is_left_out(papers: Connection) -> None:
    generation = active_generation(papers, "papers").id
    copied = "pump number 5 of the row that stands in hall 35"
    replace_chunks(papers, generation, [chunk("copy", f"Well: {copied}.", embedding=near(0.3))])
    mined = mine(papers, {"d5": 1}, MiningRules(depth=20, negatives=20, skip_top=0, most_similar=2))
    assert mined.lesson
    assert sum("number 5 " in text for text in mined.lesson.passages) == 1
    assert overlap(shingles("a b c d e"), shingles("x a b c d e y")) == 1
    assert overlap(shingles("a b c d e"), shingles("e d c b a")) == 0


def test_judged_negatives_come_first_and_are_trusted(papers: Connection) -> None:
    rules = MiningRules(depth=20, negatives=2, skip_top=20, most_similar=0)
    assert set(negatives(mine(papers, {"d3": 1, "d0": 0, "d8": 0}, rules))) == {"d0", "d8"}


class Judge:
    """Prefers the documents named to every other."""

    def __init__(self, *preferred: str) -> None:
        self._preferred = preferred

    def score(self, query: str, passages: Sequence[str], deadline: float | None) -> Scoring:
        del query, deadline
        names = documents(passages)
        scores: list[float | None] = [2.0 if name in self._preferred else 1.0 for name in names]
        return Scoring(scores, [None] * len(scores))


def test_what_the_judge_prefers_to_the_positive_is_left_out(papers: Connection) -> None:
    mined = mine(papers, {"d2": 1}, judge=Judge("d0", "d7"))
    assert set(negatives(mined)) == {"d1", "d3", "d4", "d5", "d6", "d8", "d9"}
    mined = mine(papers, {"d2": 1}, judge=Judge("d0", "d2"))
    assert len(negatives(mined)) == 7


def test_a_positive_that_the_stage_did_not_return_is_looked_up(papers: Connection) -> None:
    mined = mine(papers, {"d9": 1}, MiningRules(depth=3, negatives=7, skip_top=0, most_similar=2))
    assert mined.lesson
    assert documents(mined.lesson.passages[:1]) == ["d9"]
    assert mined.candidates is None  # nothing there to be ordered right


def test_the_passage_that_a_source_knows_is_shown_without_headings(papers: Connection) -> None:
    generation = active_generation(papers, "papers").id
    pieces = [
        chunk("d2", "pump number 2, a nearer piece", embedding=near(1), heading="Hall"),
        chunk("d2", "pump number 2, the piece meant", position=1, embedding=near(0), heading="X"),
    ]
    replace_chunks(papers, generation, pieces)
    known = {"d2": KnownPassage(1, "what was meant of number 2")}
    mined = mine(papers, {"d2": 1}, known=known, with_headings=False)
    assert mined.lesson
    assert mined.candidates
    assert mined.lesson.passages[0] == "what was meant of number 2"
    assert not any("Hall" in text for text in mined.lesson.passages)
    assert "what was meant of number 2" in mined.candidates.passages
    shown = mine(papers, {"d3": 1})
    assert shown.lesson
    assert shown.lesson.passages[0].startswith("Hall 3. pump number 3")


def test_the_candidates_of_a_held_out_query_stand_in_fused_order(papers: Connection) -> None:
    mined = mine(papers, {"d2": 2, "d3": 0})
    assert mined.candidates
    assert mined.candidates.fused
    assert mined.candidates.fused == sorted(mined.candidates.fused, reverse=True)
    assert dict(
        zip(documents(mined.candidates.passages), mined.candidates.labels, strict=True)
    ) == {f"d{number}": 2.0 if number == 2 else 0.0 for number in range(10)}


def test_the_same_query_gives_the_same_list_and_another_seed_another(papers: Connection) -> None:
    few = MiningRules(depth=20, negatives=3, skip_top=0, most_similar=2)
    once, again = (mine(papers, {"d2": 1}, few).lesson for _ in range(2))
    assert once == again
    others = [
        mine(papers, {"d2": 1}, MiningRules(20, 3, skip_top=0, most_similar=2, seed=seed)).lesson
        for seed in range(2, 6)
    ]
    assert any(other != once for other in others)


def test_a_query_whose_documents_are_not_there_teaches_nothing(papers: Connection) -> None:
    assert mine(papers, {"gone": 1}) == MinedQuery(None, None)
