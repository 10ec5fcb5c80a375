"""Suggestions: ways to complete what somebody types, from a collection's titles and lexemes."""

from dataclasses import dataclass
from typing import Literal

from psycopg.rows import class_row

from service.collections.collection import active_generation
from service.db.connection import Connection
from service.db.statements import load_statements

_SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A completion: a title, or the prefix with its last word completed to a lexeme.

    ``chunk_count`` says in how many chunks it stands; of a title, at most 1000.
    """

    suggestion: str
    kind: Literal["heading", "lexeme"]
    chunk_count: int


def suggest(
    connection: Connection, collection: str, prefix: str, suggestions: int
) -> list[Suggestion]:
    """Return up to so many ways to complete a prefix, best first, titles and lexemes in turn.

    Raises:
        NotFoundError: no such collection.
    """
    generation = active_generation(connection, collection)
    values = {
        "collection": generation.collection,
        "prefix": prefix,
        "suggestions": suggestions,
    }
    with connection.cursor(row_factory=class_row(Suggestion)) as cursor:
        return cursor.execute(_SQL["suggest"], values).fetchall()
