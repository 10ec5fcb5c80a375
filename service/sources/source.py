"""Sources: relations of the user's whose rows are the documents of a collection."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Literal

from psycopg.rows import class_row

from service.db.connection import Connection
from service.db.driver_errors import translated
from service.db.statements import load_statements
from service.settings import get_settings

_SQL = load_statements(__file__)

TextFormat = Literal["plain", "html", "markdown"]


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """Which relation becomes which collection, and what of its rows is searched.

    ``relation`` is written as in SQL, columns as they are named. ``key`` None is the primary key.
    The text is that of the ``text`` columns, joined by a blank line, or a ``template`` such as
    ``{name} by {maker}``. ``condition`` is an SQL condition that rows satisfy which belong. What is
    None of the generation is taken from the model's card.
    """

    collection: str
    relation: str
    key: list[str] | None = None
    title: str | None = None
    text: list[str] | None = None
    template: str | None = None
    text_format: TextFormat = "plain"
    filters: list[str] = field(default_factory=list)
    condition: str | None = None
    compare_every: str | None = None
    row_security: bool = False
    backfill_rows_per_second: float | None = None
    embedding_model: str | None = None
    chunk_tokens: int | None = None
    overlap_tokens: int = 32
    storage_type: Literal["halfvec", "vector", "bit"] = "halfvec"
    text_search_config: str = "english"


@dataclass(frozen=True, slots=True)
class Source:
    """What a collection is attached to; ``relation`` is empty where it was dropped since."""

    collection_id: int
    relation: str
    key_columns: list[str]
    title_column: str | None
    text_columns: list[str]
    template: str | None
    text_format: TextFormat
    filter_columns: list[str]
    condition: str | None
    sync: Literal["triggers", "comparison"]
    row_security: bool
    compared_at: datetime | None
    compare_error: str | None


def attach_source(connection: Connection, plan: SourcePlan) -> int:
    """Attach a relation and return the collection's id; its rows are indexed in the background.

    From the end of the transaction on every change of the relation is queued with it. Until then
    nobody else can write to the relation: end it soon.

    Raises:
        InvalidInputError: the relation, a column, the key or the condition cannot be used.
        AlreadyExistsError: the collection's name is taken.
        NotAllowedError: a right is missing; the mend is the statement that grants it.
        DatabaseUnavailableError: somebody held a lock on the relation for too long.
    """
    return _attach(connection, plan, with_triggers=True)


def register_source(connection: Connection, plan: SourcePlan) -> int:
    """Do all of attaching but the triggers, locking nothing: for a preflight that rolls it back.

    Raises:
        RankgresError: attaching would fail for the same reason.
    """
    return _attach(connection, plan, with_triggers=False)


def detach_source(connection: Connection, collection: str, *, keep: bool = False) -> None:
    """Detach a collection: the relation's triggers go, and the index too unless it is kept.

    A kept index stays searchable as it is.

    Raises:
        NotFoundError: there is no collection of that name.
        InvalidInputError: it is not attached to anything.
        NotAllowedError: the role neither attached it nor owns its relation.
    """
    with translated():
        connection.execute(_SQL["detach"], {"collection": collection, "keep": keep})


def pause_collection(connection: Connection, collection: str) -> None:
    """Have no worker take documents of the collection until it is resumed; raises as detaching."""
    with translated():
        connection.execute(_SQL["pause"], {"collection": collection})


def resume_collection(connection: Connection, collection: str) -> None:
    """Have workers go on with a paused collection; raises as detaching."""
    with translated():
        connection.execute(_SQL["resume"], {"collection": collection})


def find_source(connection: Connection, collection_id: int) -> Source | None:
    """Return what a collection is attached to, or None for a managed one."""
    with connection.cursor(row_factory=class_row(Source)) as cursor:
        return cursor.execute(_SQL["find"], {"collection_id": collection_id}).fetchone()


def _attach(connection: Connection, plan: SourcePlan, *, with_triggers: bool) -> int:
    values = asdict(plan) | {
        "embedding_model": plan.embedding_model or get_settings().embedding_model,
        "with_triggers": with_triggers,
    }
    with translated():
        row = connection.execute(_SQL["attach"], values).fetchone()
    assert row is not None
    return int(row[0])
