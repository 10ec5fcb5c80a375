"""Run requests: what each run of an evaluation asks of the service, by name or by JSON."""

import json
import re
from enum import StrEnum
from typing import Any, Final

from service.errors import InvalidInputError


class RunName(StrEnum):
    """The runs that have a name of their own, in the order of the tables."""

    LEXICAL = "lexical"
    VECTOR = "vector"
    HYBRID = "hybrid"
    RERANKED = "reranked"


#: A name that is a file's name as well, and a word in a TREC run file.
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_MEND: Final = (
    "write one of lexical, vector, hybrid, reranked, or NAME=JSON such as "
    '\'rrf={"fusion": "rrf", "lexical_weight": 0.3}\''
)
#: What an evaluation itself sets in every search.
_TAKEN: Final = ("query", "k", "collection")


def run_requests(texts: list[str], rerank: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Return what every run asks for, by its name; a name alone that stands twice is one run.

    What the JSON of a run does not say is as in the run ``hybrid``: both stages, nothing reranked.

    Args:
        texts: ``lexical``, ``vector``, ``hybrid``, ``reranked`` or ``NAME=JSON``.
        rerank: what the run ``reranked`` asks of the reranker.

    Raises:
        InvalidInputError: a run is neither, or two have one name.
    """
    named: dict[RunName, dict[str, Any]] = {
        RunName.LEXICAL: {"mode": "lexical", "rerank": False},
        RunName.VECTOR: {"mode": "vector", "rerank": False},
        RunName.HYBRID: {"mode": "hybrid", "rerank": False},
        RunName.RERANKED: {"mode": "hybrid", "rerank": rerank},
    }
    requests: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, equals, body = text.partition("=")
        if not equals:
            if name not in set(RunName):
                raise _wrong(text, f"there is no run {name!r}")
            requests[name] = named[RunName(name)]
            continue
        if not NAME.fullmatch(name):
            raise _wrong(text, f"{name!r} cannot name a run")
        if name in requests or name in set(RunName):
            raise _wrong(text, f"there are two runs of the name {name!r}")
        requests[name] = named[RunName.HYBRID] | _body(text, body)
    return requests


def _body(text: str, body: str) -> dict[str, Any]:
    """Return a run's part of the request's body."""
    try:
        request = json.loads(body)
    except ValueError as error:
        raise _wrong(text, f"not JSON: {error}") from None
    if not isinstance(request, dict):
        raise _wrong(text, "not a JSON object")
    for name in _TAKEN:
        if name in request:
            raise _wrong(text, f"{name!r} is set by the evaluation itself")
    return request


def _wrong(text: str, reason: str) -> InvalidInputError:
    return InvalidInputError(f"--run {text!r}: {reason}", field="run", value=text, mend=_MEND)
