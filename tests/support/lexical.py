"""The lexical stages called as search_candidates calls them, with a query as people write it."""

import json
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


def _named(arguments: dict[str, Any]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name))
        for name in arguments
    )
