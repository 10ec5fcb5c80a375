"""Preparation: from labelled queries to lists, mined once and kept in the job's folder."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from service.errors import InvalidInputError
from workers.inference.encoder import Encoder
from workers.training.job import Job
from workers.training.labelled_queries import LabelledQuery, QuerySource
from workers.training.mining import MinedQuery, Miner
from workers.training.ranking_lists import (
    RankingList,
    held_out_by,
    read_lists,
    split_lists,
    write_lists,
)

_EMBEDDED_AT_ONCE: Final = 32
_MINED: Final = "mined.jsonl"
_LISTS: Final = "lists.jsonl.gz"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The lists to learn from, and those of held-out queries to be measured with."""

    lists: list[RankingList]
    held_out: list[RankingList]


def read_prepared(path: Path, held_out: Path | None, share: float) -> Prepared:
    """Return the lists of a file, and those held out: of another file, or a part of the queries.

    Raises:
        InvalidInputError: a file cannot be read, or nothing is left to learn from.
    """
    lists = read_lists(path)
    if held_out is None:
        return _checked(*split_lists(lists, share))
    apart = read_lists(held_out)
    asked = {each.query.casefold().strip() for each in apart}
    return _checked([each for each in lists if each.query.casefold().strip() not in asked], apart)


def mine_lists(
    job: Job, sources: Sequence[QuerySource], miner: Miner, encoder: Encoder
) -> Prepared | None:
    """Return the lists of every source's queries, or None where somebody asked to stop.

    Queries that an earlier start mined are not mined again.
    """
    target = job.folder.path / _LISTS
    share = job.recipe.held_out
    if not target.is_file():
        queries = [query for source in sources for query in source.read()]
        found = _mined(job, queries, miner, encoder)
        if found is None:
            return None
        write_lists(target, _of_their_part(queries, found, share))
    try:
        lists = read_lists(target)
    except InvalidInputError as error:
        raise _nothing() from error
    return _checked(*split_lists(lists, share))


def _mined(
    job: Job, queries: Sequence[LabelledQuery], miner: Miner, encoder: Encoder
) -> dict[str, MinedQuery] | None:
    path = job.folder.path / _MINED
    found = dict(_read_mined(path))
    left = [query for query in queries if query.id not in found]
    task = job.progress.add_task(
        "mining", total=len(queries), completed=len(queries) - len(left), told=""
    )
    with path.open("a", encoding="utf-8") as file:
        for start in range(0, len(left), _EMBEDDED_AT_ONCE):
            part = left[start : start + _EMBEDDED_AT_ONCE]
            embeddings = encoder.encode([query.text for query in part], "query").embeddings
            for query, embedding in zip(part, embeddings, strict=True):
                if job.asked.is_set():
                    return None
                found[query.id] = miner.mine(query, embedding)
                file.write(json.dumps(_as_json(query.id, found[query.id])) + "\n")
                job.progress.advance(task)
            file.flush()
    return found


def _of_their_part(
    queries: Sequence[LabelledQuery], found: dict[str, MinedQuery], share: float
) -> Iterator[RankingList]:
    """Yield the lesson of each query, or its candidates where it is held out."""
    for query in queries:
        mined = found[query.id]
        made = mined.candidates if held_out_by(query.text, share) else mined.lesson
        if made is not None:
            yield made


def _as_json(identifier: str, mined: MinedQuery) -> dict[str, Any]:
    return {
        "id": identifier,
        "lesson": mined.lesson and mined.lesson.as_json(),
        "candidates": mined.candidates and mined.candidates.as_json(),
    }


def _read_mined(path: Path) -> Iterator[tuple[str, MinedQuery]]:
    """Yield what an earlier start mined; the line that it was killed in is cut off."""
    if not path.is_file():
        return
    whole = 0
    with path.open("rb") as file:
        for line in file:
            try:
                content = json.loads(line)
            except ValueError:
                break
            whole += len(line)
            lists = (content["lesson"], content["candidates"])
            yield content["id"], MinedQuery(*(each and RankingList(**each) for each in lists))
    with path.open("r+b") as file:
        file.truncate(whole)


def _checked(lists: list[RankingList], held_out: list[RankingList]) -> Prepared:
    if not lists:
        raise _nothing()
    return Prepared(lists, held_out)


def _nothing() -> InvalidInputError:
    return InvalidInputError(
        "there is nothing to learn from: no query has a relevant passage and another one",
        field="sources",
        mend="check that the judged documents are in the collection, or lower --held-out",
    )
