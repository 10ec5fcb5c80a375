"""TREC run files: rankings as other tools of the field read and write them.

One line a document: query, the letters Q0, document, rank, score, the run's name.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from service.errors import InvalidInputError
from service.evaluation.evaluation import Rankings
from service.evaluation.judgements import numbered_lines

_COLUMNS: Final = 6
_FIELD: Final = "run_file"
_MEND: Final = "write six columns: query Q0 document rank score run"
_BREAKS: Final = ("\t", "\n", "\r")


def write_run(path: Path, name: str, rankings: Rankings) -> None:
    """Write a run; whoever sorts the file by score sees the order that was measured.

    Columns are parted by tabs, so that an id may hold a space. Scores are written as ``trec_eval``
    holds them, in 32 bits; one that is not below the score before it is written as the next lower
    number, for tools of the field sort by score alone and break ties as they like.

    Raises:
        InvalidInputError: an id holds what ends a column, or the file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_run_lines(name, rankings))
    except OSError as error:
        raise InvalidInputError(
            f"cannot write {path}: {error.strerror}",
            field="write_runs",
            value=str(path),
            mend="name a folder that can be written to",
        ) from error


def _run_lines(name: str, rankings: Rankings) -> Iterator[str]:
    for query, ranking in rankings.items():
        last = np.float32(np.inf)
        for rank, (document, score) in enumerate(ranking, start=1):
            _require_one_column(query, document)
            last = min(np.float32(score), np.nextafter(last, np.float32(-np.inf)))
            yield f"{query}\tQ0\t{document}\t{rank}\t{last!s}\t{name}\n"


def _require_one_column(*identifiers: str) -> None:
    for identifier in identifiers:
        if any(character in identifier for character in _BREAKS):
            raise InvalidInputError(
                f"the id {identifier!r} holds a tab or a line break, which end a column",
                field="write_runs",
                value=identifier,
                mend="a run file cannot hold it; measure without --write-runs",
            )


def read_run(path: Path) -> tuple[str, Rankings]:
    """Return a run's name and its rankings, ordered by score, then by the rank that is written.

    Raises:
        InvalidInputError: the file cannot be read, or names a document twice; with its line.
    """
    found: dict[str, dict[str, tuple[float, int]]] = {}
    name = ""
    for number, line in numbered_lines(path, _FIELD):
        place = f"{path}, line {number}"
        columns = line.split("\t") if "\t" in line else line.split()
        if len(columns) != _COLUMNS:
            raise _bad_line(f"{place}: {len(columns)} columns, not {_COLUMNS}", line)
        query, _, document, rank, score, run = (column.strip() for column in columns)
        name = name or run
        documents = found.setdefault(query, {})
        if document in documents:
            raise _bad_line(f"{place}: query {query!r} has {document!r} a second time", line)
        documents[document] = _number(score, place, line), int(_number(rank, place, line))
    if not found:
        raise InvalidInputError(f"{path} holds no line", field=_FIELD, value=str(path), mend=_MEND)
    return name, {query: _ordered(documents) for query, documents in found.items()}


def _ordered(documents: dict[str, tuple[float, int]]) -> list[tuple[str, float]]:
    order = sorted(documents.items(), key=lambda item: (-item[1][0], item[1][1]))
    return [(document, score) for document, (score, _) in order]


def _number(text: str, place: str, line: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise _bad_line(f"{place}: {text!r} is not a number", line)
    return value


def _bad_line(detail: str, line: str) -> InvalidInputError:
    return InvalidInputError(detail, field=_FIELD, value=line[:80], mend=_MEND)
