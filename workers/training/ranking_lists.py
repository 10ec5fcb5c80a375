"""Ranking lists: a query with passages and how good each is, which is what rerankers learn from.

The file of prepared lists has one JSON object a line, and may be gzipped:
``{"query": …, "passages": […], "labels": […], "teacher": […], "fused": […]}``; the last two may
be left out.
"""

import gzip
import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from service.errors import InvalidInputError
from service.evaluation.judgements import numbered_lines

_MEND: Final = (
    'write one JSON object a line: {"query": "…", "passages": ["…", "…"], "labels": [1, 0]}'
)
_SPLIT_STEPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class RankingList:
    """A query and its passages, each with a grade; above 0 is relevant.

    ``teacher`` holds scores of another model for the same passages, on any scale. ``fused`` holds
    those of the candidate stage, best first, where the list is what that stage returned: then a
    model's own order can be summed with it, as a search does.
    """

    query: str
    passages: list[str]
    labels: list[float]
    teacher: list[float] | None = None
    fused: list[float] | None = None

    @property
    def relevant(self) -> bool:
        """Return whether any passage is."""
        return any(label > 0 for label in self.labels)

    def as_json(self) -> dict[str, Any]:
        """Return what a line of the file holds."""
        content = {"query": self.query, "passages": self.passages, "labels": self.labels}
        return content | {
            name: values
            for name, values in (("teacher", self.teacher), ("fused", self.fused))
            if values is not None
        }


def read_lists(path: Path) -> list[RankingList]:
    """Return the lists of a file of prepared lists.

    Raises:
        InvalidInputError: names the file, the line and what is wrong there.
    """
    lists = []
    for number, line in numbered_lines(path, "prepared"):
        place = f"{path}, line {number}"
        try:
            content = json.loads(line)
        except ValueError as error:
            raise _unfit(place, f"not JSON: {error}", line) from error
        lists.append(_read_list(content, place))
    if not lists:
        raise _unfit(str(path), "holds no list", "")
    return lists


def write_lists(path: Path, lists: Iterable[RankingList]) -> None:
    """Write a file of prepared lists, gzipped where its name ends so; whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    with (
        gzip.open(draft, "wt", encoding="utf-8")
        if path.suffix == ".gz"
        else draft.open("w", encoding="utf-8")
    ) as file:
        for each in lists:
            file.write(json.dumps(each.as_json(), ensure_ascii=False) + "\n")
    draft.replace(path)


def held_out_by(text: str, share: float) -> bool:
    """Tell whether a query belongs to the held-out part: by its text, so always the same way.

    The text decides, not the line it stands on: a query that stands there twice is never both
    learnt from and measured with, and new queries do not move the old ones.
    """
    spoken = " ".join(text.casefold().split())
    digest = hashlib.blake2b(spoken.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) % _SPLIT_STEPS < round(share * _SPLIT_STEPS)


def split_lists(
    lists: Sequence[RankingList], share: float
) -> tuple[list[RankingList], list[RankingList]]:
    """Return the lists to learn from and those held out, about ``share`` of the queries."""
    kept = [each for each in lists if not held_out_by(each.query, share)]
    held_out = [each for each in lists if held_out_by(each.query, share)]
    return kept, held_out


def _read_list(content: object, place: str) -> RankingList:
    if not isinstance(content, dict):
        raise _unfit(place, "not a JSON object", content)
    query, passages = content.get("query"), content.get("passages")
    if not isinstance(query, str) or not query.strip():
        raise _unfit(place, "the field 'query' must be text that is not blank", query)
    if (
        not isinstance(passages, list)
        or not passages
        or not all(isinstance(passage, str) for passage in passages)
    ):
        raise _unfit(place, "the field 'passages' must be a list of texts", passages)
    labels = _numbers(content, "labels", len(passages), place)
    if labels is None:
        raise _unfit(place, "the field 'labels' is missing", None)
    return RankingList(
        query,
        passages,
        labels,
        _numbers(content, "teacher", len(passages), place),
        _numbers(content, "fused", len(passages), place),
    )


def _numbers(content: dict[str, Any], name: str, count: int, place: str) -> list[float] | None:
    """Return as many numbers as there are passages, or None where the field is not there."""
    values = content.get(name)
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != count or not all(map(_is_number, values)):
        raise _unfit(place, f"the field {name!r} must hold {count} numbers, as many as passages",
                     values)  # fmt: skip
    return [float(value) for value in values]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _unfit(place: str, reason: str, value: object) -> InvalidInputError:
    return InvalidInputError(
        f"{place}: {reason}", field="prepared", value=str(value)[:80], mend=_MEND
    )
