"""Facets: how many of the matching documents have each value of a field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.errors import QueryCanceled
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from service.db.connection import Connection
from service.db.statements import load_statements

_SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class FacetCount:
    """How many documents have a value; estimated from a sample unless ``exact``."""

    field: str
    value: Any
    documents: int
    exact: bool


def count_facets(
    connection: Connection,
    collection: str,
    fields: Sequence[str],
    *,
    filter: Mapping[str, Any] | None = None,  # noqa: A002 - named as in a search request
    query: str | None = None,
    values_per_field: int = 10,
    timeout_ms: int | None = None,
) -> dict[str, list[FacetCount]]:
    """Return the most frequent values of each field, in the order of ``fields``.

    Args:
        connection: any; nothing is written.
        collection: its name.
        fields: members of the documents' metadata; of a list each element counts.
        filter: conditions on the metadata, as in a search.
        query: None counts all documents, else those that match any word of it.
        values_per_field: how many values of a field, the most frequent first.
        timeout_ms: after which counting ends; the connection is in a transaction then, which can
            only be rolled back.

    Raises:
        InvalidInputError: no document has one of the fields, or the filter is wrong.
        NotFoundError: there is no such collection.
        TimeoutError: ``timeout_ms`` was not enough.
    """
    values = {
        "collection": collection,
        "fields": list(fields),
        "filter": None if filter is None else Jsonb(dict(filter)),
        "query": query,
        "values_per_field": values_per_field,
    }
    counts: dict[str, list[FacetCount]] = {field: [] for field in fields}
    if timeout_ms is not None:
        connection.execute(_SQL["limit"], {"timeout_ms": timeout_ms})
    try:
        with connection.cursor(row_factory=class_row(FacetCount)) as cursor:
            for count in cursor.execute(_SQL["count"], values):
                counts[count.field].append(count)
    except QueryCanceled:
        raise TimeoutError from None
    return counts
