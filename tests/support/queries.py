"""Parsed queries as tests read them."""

from typing import NamedTuple

from service.db.connection import Connection


class Parsed(NamedTuple):
    """What query_parse makes of a query; tsqueries as text."""

    lexemes: dict[str, int]
    clauses: set[str]
    condition: str | None


def parse(
    connection: Connection, generation_id: int, query: str | None, language: str | None = None
) -> Parsed:
    """Parse a query for a generation."""
    row = connection.execute(
        "SELECT (parsed).lexemes, (parsed).frequencies, (parsed).clauses::text [], "
        "(parsed).condition::text FROM rankgres.query_parse_v1(%s, %s, %s) AS parsed",
        [generation_id, query, language],
    ).fetchone()
    assert row is not None
    lexemes, frequencies, clauses, condition = row
    # Each lexeme and each clause once.
    assert len(set(lexemes)) == len(lexemes) == len(frequencies)
    assert len(set(clauses)) == len(clauses)
    return Parsed(dict(zip(lexemes, frequencies, strict=True)), set(clauses), condition)
