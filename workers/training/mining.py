"""Mining: hard negatives out of the collection, by the candidate stage that searches use.

What the stage returns for a query, less what answers it. Not everything that is unjudged there is
wrong: of the best unjudged passages of MS MARCO most were answers (Qu et al., "RocketQA", NAACL
2021). So near copies of a positive are left out, the very first are, and those that the embedding
model holds for almost as near as the positive (Moreira et al., "NV-Retriever", 2024); a
cross-encoder may be asked too.
"""

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import Cursor

from service.collections.collection import Generation
from service.db.connection import Connection
from service.db.statements import load_statements
from workers.inference.reranker import Reranker
from workers.training.labelled_queries import LabelledQuery
from workers.training.ranking_lists import RankingList

_SQL = load_statements(__file__)

_SHINGLE_WORDS: Final = 4
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class MiningRules:
    """Which candidates become negatives.

    ``depth`` candidates are asked for, ``negatives`` of them taken. Of unjudged ones the first
    ``skip_top`` are left out, and those whose similarity is above ``most_similar`` of the
    positive's, or that share more than ``most_shared`` of their wording with a positive.
    ``separator`` stands between heading and text, as the model that learns is shown them.
    """

    depth: int = 50
    negatives: int = 7
    positives: int = 2
    skip_top: int = 1
    most_similar: float = 0.95
    most_shared: float = 0.5
    seed: int = 1
    separator: str = ". "


class MinedPassage(NamedTuple):
    """A passage of a document, as the candidate stage returned it or as it is stored.

    ``score`` is fused, ``similarity`` the vector stage's; either may be missing.
    """

    document_id: str
    heading: str
    text: str
    score: float | None
    similarity: float | None


@dataclass(frozen=True, slots=True)
class MinedQuery:
    """A query with its list to learn from, and the list of candidates to be measured with.

    Either is None where it would have no relevant passage.
    """

    lesson: RankingList | None
    candidates: RankingList | None


class Miner:
    """Asks one collection's candidate stage for every query.

    Args:
        connection: in autocommit mode.
        generation: the one that the collection is searched by.
        rules: which candidates become negatives.
        judge: a cross-encoder that leaves out what it scores above the positive.
    """

    def __init__(
        self,
        connection: Connection,
        generation: Generation,
        rules: MiningRules,
        judge: Reranker | None = None,
    ) -> None:
        self._connection = connection
        self._collection = generation.collection
        self._generation_id = generation.id
        self._rules = rules
        self._judge = judge

    def mine(self, query: LabelledQuery, embedding: NDArray[np.float32]) -> MinedQuery:
        """Return the lists of one query; the same ones in every call."""
        candidates = self._candidates(query.text, embedding)
        positives = self._positives(query, embedding, candidates)
        if not positives:
            return MinedQuery(None, None)
        return MinedQuery(
            self._lesson(query, positives, candidates),
            self._measured(query, positives, candidates),
        )

    def _lesson(
        self,
        query: LabelledQuery,
        positives: Sequence[MinedPassage],
        candidates: Sequence[MinedPassage],
    ) -> RankingList | None:
        rules = self._rules
        chosen = positives[: rules.positives]
        judged = [each for each in candidates if query.grades.get(each.document_id) == 0]
        unjudged = self._unjudged(query, positives, candidates)
        # Of its own for each query: what is drawn does not change with the queries before it.
        digest = hashlib.blake2b(f"{rules.seed} {query.id}".encode(errors="surrogatepass"))
        chance = random.Random(digest.digest())  # noqa: S311  no secret, repeatable
        trusted = chance.sample(judged, min(len(judged), rules.negatives))
        room = min(len(unjudged), rules.negatives - len(trusted))
        negatives = trusted + chance.sample(unjudged, room)
        if not negatives:
            return None
        texts = [self._text(query, each, own=True) for each in chosen]
        texts += [self._text(query, each, own=False) for each in negatives]
        labels = [query.grades[each.document_id] for each in chosen] + [0.0] * len(negatives)
        return RankingList(query.text, texts, labels)

    def _measured(
        self,
        query: LabelledQuery,
        positives: Sequence[MinedPassage],
        candidates: Sequence[MinedPassage],
    ) -> RankingList | None:
        """Return the candidates as a search would have them reranked."""
        own = {each.document_id for each in positives}
        made = RankingList(
            query.text,
            [self._text(query, each, own=each.document_id in own) for each in candidates],
            [max(0.0, query.grades.get(each.document_id, 0.0)) for each in candidates],
            fused=[each.score or 0.0 for each in candidates],
        )
        return made if made.relevant else None

    def _text(self, query: LabelledQuery, passage: MinedPassage, *, own: bool) -> str:
        known = query.known.get(passage.document_id) if own else None
        if known is not None:
            passage = passage._replace(text=known.text)
        if not query.with_headings or not passage.heading:
            return passage.text
        return f"{passage.heading}{self._rules.separator}{passage.text}"

    def _unjudged(
        self,
        query: LabelledQuery,
        positives: Sequence[MinedPassage],
        candidates: Sequence[MinedPassage],
    ) -> list[MinedPassage]:
        """Return the unjudged candidates that are probably no answers."""
        rules = self._rules
        left = [each for each in candidates if each.document_id not in query.grades]
        left = left[rules.skip_top :]
        wordings = [shingles(each.text) for each in positives]
        left = [
            each
            for each in left
            if all(overlap(shingles(each.text), wording) <= rules.most_shared
                   for wording in wordings)
        ]  # fmt: skip
        nearest = max((each.similarity or 0.0 for each in positives), default=0.0)
        if nearest > 0:
            left = [
                each for each in left if (each.similarity or 0.0) <= rules.most_similar * nearest
            ]
        return self._not_preferred(query, positives, left)

    def _not_preferred(
        self,
        query: LabelledQuery,
        positives: Sequence[MinedPassage],
        candidates: list[MinedPassage],
    ) -> list[MinedPassage]:
        """Leave out what the judge scores above the best positive."""
        if self._judge is None or not candidates:
            return candidates
        passages = [self._text(query, each, own=True) for each in positives]
        passages += [self._text(query, each, own=False) for each in candidates]
        scores = [
            float("-inf") if score is None else score
            for score in self._judge.score(query.text, passages, None).scores
        ]
        bound = max(scores[: len(positives)])
        others = zip(candidates, scores[len(positives) :], strict=True)
        return [each for each, score in others if score <= bound]

    def _positives(
        self,
        query: LabelledQuery,
        embedding: NDArray[np.float32],
        candidates: Sequence[MinedPassage],
    ) -> list[MinedPassage]:
        """Return a passage of each document that answers, best documents first."""
        found = {each.document_id: each for each in candidates}
        wanted = [name for name in query.relevant if name not in found or name in query.known]
        stored = self._stored(query, wanted, embedding)
        there = {**found, **stored}
        return [there[name] for name in query.relevant if name in there]

    def _candidates(self, text: str, embedding: NDArray[np.float32]) -> list[MinedPassage]:
        values = {
            "collection": self._collection,
            "query": text,
            "query_embedding": Vector(embedding),
            "candidates": self._rules.depth,
        }
        with self._connection.transaction():
            rows = self._connection.execute(_SQL["candidates"], values).fetchall()
        return [MinedPassage(*row) for row in rows]

    def _stored(
        self, query: LabelledQuery, documents: Sequence[str], embedding: NDArray[np.float32]
    ) -> dict[str, MinedPassage]:
        """Return the passage of each document that the source knows, else the nearest one."""
        if not documents:
            return {}
        positions: Mapping[str, int] = {name: known.position for name, known in query.known.items()}
        values: dict[str, Any] = {
            "generation_id": self._generation_id,
            "documents": list(documents),
            "positions": [positions.get(name) for name in documents],
            "query_embedding": Vector(embedding),
        }
        cursor: Cursor[Any] = self._connection.execute(_SQL["stored"], values)
        return {row[0]: MinedPassage(*row) for row in cursor.fetchall()}


def shingles(text: str) -> set[tuple[str, ...]]:
    """Return every run of four words, by which near copies are told."""
    words = _WORD.findall(text.casefold())
    count = max(1, len(words) - _SHINGLE_WORDS + 1)
    return {tuple(words[start : start + _SHINGLE_WORDS]) for start in range(count)}


def overlap(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    """Return how much of the smaller set is in the other: copies, and excerpts of one another."""
    return len(one & other) / max(1, min(len(one), len(other)))
