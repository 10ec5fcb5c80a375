"""Judgements: which documents are relevant to which queries, read from BEIR and TREC files."""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from service.errors import InvalidInputError

_QUERY_MEND = 'write one JSON object a line: {"_id": "q1", "text": "the question"}'
_QRELS_MEND = (
    "write BEIR lines (query-id, corpus-id, score, with tabs between them) "
    "or TREC lines (query 0 document score)"
)
_HEADERS = frozenset({"query-id", "query_id", "queryid", "qid", "query"})
_BEIR_FIELDS = ("query-id", "corpus-id", "score")
_BEIR_COLUMNS = 3
_TREC_COLUMNS = 4

#: Relevance by document id, by query id; above 0 is relevant.
Relevance = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Judgements:
    """The queries that can be measured, in the order of their file, and what is relevant to them.

    Every query has at least one relevant document: one without any would score 0 whatever a search
    returned. ``unjudged`` counts the queries left out for that reason, ``unasked`` the judged ones
    whose text the query file does not have.
    """

    queries: dict[str, str]
    relevance: Relevance
    unjudged: int
    unasked: int


def read_judgements(queries: Path, qrels: Path, limit: int | None = None) -> Judgements:
    """Read both files and keep the queries that have a relevant document.

    Args:
        queries: BEIR JSON Lines, ``_id`` and ``text``.
        qrels: BEIR tab-separated values, or TREC's four columns.
        limit: Keep only that many queries, the first of the file.

    Raises:
        InvalidInputError: a file or a line cannot be read, or no query is left.
    """
    texts = read_queries(queries)
    relevance = {
        query: documents
        for query, documents in read_qrels(qrels).items()
        if any(score > 0 for score in documents.values())
    }
    judged = [query for query in texts if query in relevance]
    if not judged:
        raise InvalidInputError(
            f"no query of {queries} has a relevant document in {qrels}",
            field="qrels",
            value=str(qrels),
            mend="give the two files of one set: their query ids must be the same",
        )
    kept = judged[:limit]
    return Judgements(
        queries={query: texts[query] for query in kept},
        relevance={query: relevance[query] for query in kept},
        unjudged=len(texts) - len(judged),
        unasked=len(relevance.keys() - texts.keys()),
    )


def read_queries(path: Path) -> dict[str, str]:
    """Return the text of each query by its id, in the order of the file.

    Raises:
        InvalidInputError: names the file, the line and the field.
    """
    texts: dict[str, str] = {}
    for number, line in numbered_lines(path, "queries"):
        place = f"{path}, line {number}"
        try:
            query = json.loads(line)
        except ValueError as error:
            raise InvalidInputError(
                f"{place}: not JSON: {error}", field="queries", value=line[:80], mend=_QUERY_MEND
            ) from error
        if not isinstance(query, dict):
            raise InvalidInputError(
                f"{place}: not a JSON object", field="queries", value=line[:80], mend=_QUERY_MEND
            )
        identifier = _field(query, "_id", place)
        if identifier in texts:
            raise InvalidInputError(
                f"{place}: the query {identifier!r} stands here a second time",
                field="_id",
                value=identifier,
                mend="give every query an id of its own",
            )
        texts[identifier] = _field(query, "text", place)
    return texts


def read_qrels(path: Path) -> Relevance:
    """Return the relevance of each judged document, by query.

    Raises:
        InvalidInputError: names the file, the line and the field.
    """
    relevance: Relevance = {}
    for number, line in numbered_lines(path, "qrels"):
        columns = line.split("\t") if "\t" in line else line.split()
        if number == 1 and columns[0].strip().lower() in _HEADERS and not _is_whole(columns[-1]):
            continue
        query, document, score = _judgement(columns, f"{path}, line {number}")
        documents = relevance.setdefault(query, {})
        if documents.setdefault(document, score) != score:
            raise InvalidInputError(
                f"{path}, line {number}: query {query!r} judges document {document!r} "
                f"{score} here and {documents[document]} before",
                field="score",
                value=score,
                mend="keep one of the two lines",
            )
    return relevance


def numbered_lines(path: Path, field: str) -> Iterator[tuple[int, str]]:
    """Yield the number, from 1, and the text of each line that is not blank."""
    try:
        # utf-8-sig: a byte order mark, as spreadsheets write it, is no part of the first id.
        with _opened(path) as lines:
            for number, line in enumerate(lines, start=1):
                if text := line.strip():
                    yield number, text
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidInputError(
            f"cannot read {path}: {reason}",
            field=field,
            value=str(path),
            mend="name a file that exists and can be read",
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}",
            field=field,
            value=str(path),
            mend="convert it to UTF-8",
        ) from error


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def _field(query: dict[str, object], name: str, place: str) -> str:
    """Return a query's id or text; numbers are taken for ids too, as some sets write them."""
    value = query.get(name)
    if name == "_id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value.strip():
        return value
    said = "is missing" if value is None else "must be text that is not blank"
    raise InvalidInputError(
        f"{place}: the field {name!r} {said}", field=name, value=value, mend=_QUERY_MEND
    )


def _judgement(columns: list[str], place: str) -> tuple[str, str, int]:
    """Return query, document and score of one line."""
    if len(columns) == _TREC_COLUMNS:
        columns = [columns[0], columns[2], columns[3]]
    if len(columns) != _BEIR_COLUMNS:
        raise InvalidInputError(
            f"{place}: {len(columns)} columns, not {_BEIR_COLUMNS} or {_TREC_COLUMNS}",
            field="qrels",
            value=" ".join(columns)[:80],
            mend=_QRELS_MEND,
        )
    query, document, score = (column.strip() for column in columns)
    for name, value in zip(_BEIR_FIELDS, (query, document, score), strict=True):
        if not value:
            raise InvalidInputError(
                f"{place}: the field {name!r} is blank", field=name, value=value, mend=_QRELS_MEND
            )
    if not _is_whole(score):
        raise InvalidInputError(
            f"{place}: the score {score!r} is not a whole number",
            field="score",
            value=score,
            mend="0 is not relevant, 1 and above relevant, more is better",
        )
    return query, document, int(score)


def _is_whole(text: str) -> bool:
    """Tell whether a text is an integer, as ``int`` reads one."""
    try:
        int(text)
    except ValueError:
        return False
    return True
