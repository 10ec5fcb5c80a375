"""Search logs: what people asked and what they then opened.

One JSON object a line, as an application exports it, one for each search:
``{"query": "…", "clicked": ["id", …], "shown": ["id", …]}``; ``shown``, in the order of the page,
may be left out.

Clicks follow places as much as answers: people open what stands first (Joachims et al., "Accurately
Interpreting Clickthrough Data as Implicit Feedback", SIGIR 2005). So a click is taken to say only
that its document is better than those above it that were passed over ("click > skip above" there):
these become judged as not relevant, what stands below was perhaps never seen and stays unjudged.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.errors import InvalidInputError
from service.evaluation.judgements import numbered_lines
from workers.training.labelled_queries import LabelledQuery

_MEND = 'write one JSON object a line: {"query": "…", "clicked": ["id"], "shown": ["id", "id"]}'


@dataclass(frozen=True, slots=True)
class SearchLog:
    """The searches of a file; a document counts that was opened in ``min_clicks`` of a query's."""

    path: Path
    min_clicks: int

    @property
    def description(self) -> str:
        """Return a line for the model's card."""
        return (
            f"clicks of the search log {self.path.name}, documents opened at least "
            f"{self.min_clicks} times; passed over above a click: not relevant"
        )

    @property
    def identity(self) -> object:
        """Return the file, its size and the bound."""
        return [self.path.name, self.path.stat().st_size, self.min_clicks]

    def read(self) -> Iterator[LabelledQuery]:
        """Yield each query once, however it was spaced and capitalised, with its documents.

        Raises:
            InvalidInputError: names the file, the line and the field.
        """
        texts: dict[str, str] = {}
        clicks: dict[str, Counter[str]] = defaultdict(Counter)
        skips: dict[str, Counter[str]] = defaultdict(Counter)
        for number, line in numbered_lines(self.path, "log"):
            text, clicked, shown = _read_search(line, f"{self.path}, line {number}")
            key = " ".join(text.casefold().split())
            texts.setdefault(key, text)
            clicks[key].update(set(clicked))
            skips[key].update(_passed_over(shown, set(clicked)))
        for key, text in texts.items():
            opened = {name for name, count in clicks[key].items() if count >= self.min_clicks}
            grades = {name: 1.0 for name in clicks[key] if name in opened}
            # Opened now and passed over then: neither is sure.
            grades |= {name: 0.0 for name in skips[key] if name not in clicks[key]}
            if opened:
                yield LabelledQuery(f"log {key}", text, grades)


def _passed_over(shown: list[str], clicked: set[str]) -> list[str]:
    """Return what stood above the last click and was not opened."""
    places = [place for place, name in enumerate(shown) if name in clicked]
    return [name for name in shown[: max(places, default=0)] if name not in clicked]


def _read_search(line: str, place: str) -> tuple[str, list[str], list[str]]:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise _unfit(place, "log", f"not JSON: {error}", line[:80]) from error
    if not isinstance(content, dict):
        raise _unfit(place, "log", "not a JSON object", line[:80])
    query = content.get("query")
    if not isinstance(query, str) or not query.strip():
        raise _unfit(place, "query", "the field 'query' must be text that is not blank", query)
    return query, _ids(content, "clicked", place), _ids(content, "shown", place)


def _ids(content: dict[str, Any], name: str, place: str) -> list[str]:
    values = content.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _unfit(place, name, f"the field {name!r} must be a list of document ids", values)
    return values


def _unfit(place: str, field: str, reason: str, value: object) -> InvalidInputError:
    return InvalidInputError(f"{place}: {reason}", field=field, value=value, mend=_MEND)
