"""The lexical stages as search_candidates calls them, and what they are to find, by the book."""

import json
from collections import Counter
from collections.abc import Mapping
from math import log
from typing import Any, NamedTuple

from psycopg import sql

from service.db.connection import Connection
from tests.support.collections import value


class Hit(NamedTuple):
    """A row of a lexical stage, in its columns' order."""

    document_id: str
    position: int
    score: float
    rank: int
    passage: int


def lexical_hits(
    connection: Connection, function: str, generation: int, query: str, **options: Any
) -> list[Hit]:
    """Call a lexical stage; ``options`` are its arguments, 10 candidates by default."""
    arguments = {"candidates": 10, **options}
    statement = sql.SQL(
        "SELECT * FROM rankgres.{}(%(generation)s, "
        "rankgres.query_parse_v1(%(generation)s, %(query)s), {})"
    ).format(sql.Identifier(function), _named(arguments))
    rows = connection.execute(
        statement, {"generation": generation, "query": query, **arguments}
    ).fetchall()
    return [Hit(*row) for row in rows]


def lexical_explained(connection: Connection) -> dict[str, Any]:
    """Return what the last lexical stage of the transaction said of itself."""
    told = json.loads(value(connection, "SELECT current_setting('rankgres.lexical_explain')"))
    assert isinstance(told, dict)
    return told


def bm25(
    texts: Mapping[str, str],
    query: str,
    k1: float = 1.2,
    b: float = 0.75,
    *,
    headings: Mapping[str, str] | None = None,
    heading_weight: float = 1,
) -> dict[str, float]:
    """Score every text that shares a word with the query; a word of a heading counts so often."""
    above = {name: Counter((headings or {}).get(name, "").split()) for name in texts}
    counts = {name: Counter(text.split()) + above[name] for name, text in texts.items()}
    mean = sum(counted.total() for counted in counts.values()) / len(counts)
    scores: dict[str, float] = {}
    for word, times in Counter(query.split()).items():
        holding = sum(1 for counted in counts.values() if word in counted)
        idf = log(1 + (len(counts) - holding + 0.5) / (holding + 0.5))
        for name, counted in counts.items():
            if word in counted:
                frequency = counted[word] + (heading_weight - 1) * above[name][word]
                norm = k1 * (1 - b + b * counted.total() / mean)
                score = times * idf * frequency * (k1 + 1) / (frequency + norm or 1)
                scores[name] = scores.get(name, 0) + score
    return scores


def _named(arguments: dict[str, Any]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name))
        for name in arguments
    )
