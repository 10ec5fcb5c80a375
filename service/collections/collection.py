"""Collections and the generation each is searched by."""

import re
from dataclasses import asdict, dataclass
from typing import Final, Literal

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from service.db.connection import Connection
from service.db.statements import load_statements
from service.errors import InvalidInputError, NotFoundError
from service.model_cards import encoder_card
from service.settings import get_settings

_SQL = load_statements(__file__)
#: Of text in a language that the embedding model does not know. Measured on XQuAD in German,
#: Spanish and Arabic under all-MiniLM-L6-v2: hybrid is then as good as BM25 alone, or better.
FOREIGN_LEXICAL_WEIGHT: Final = 0.8

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class CollectionPlan:
    """What a new collection's first generation is to be; None is taken from the model's card.

    ``chunk_tokens`` counts everything the model reads at once: heading, text and special tokens.
    ``text_search_config`` may be ``auto``, each document's own, and begin with ``unaccent+``.
    """

    name: str
    embedding_model: str | None = None
    chunk_tokens: int | None = None
    overlap_tokens: int = 32
    storage_type: Literal["halfvec", "vector", "bit"] = "halfvec"
    distance: Literal["cosine", "inner_product", "l2"] | None = None
    text_search_config: str = "english"
    bm25_k1: float = 1.2
    bm25_b: float = 0.75
    lexical_index: Literal["gin", "pg_textsearch"] = "gin"


@dataclass(frozen=True, slots=True)
class Generation:
    """The index configuration that ingestion and search need to know."""

    id: int
    collection_id: int
    collection: str
    embedding_model: str
    embedding_dimension: int
    chunk_tokens: int
    overlap_tokens: int
    text_search_config: str

    @property
    def detects_languages(self) -> bool:
        """Return whether each document is analysed in its own language."""
        return self.text_search_config in {"auto", "unaccent+auto"}


@dataclass(frozen=True, slots=True)
class CollectionStatus:
    """How far a collection is: what can be searched, and what the outbox still holds.

    ``oldest_seconds`` is the age of the oldest change not searchable yet, None where there is none.
    ``recall`` is that of the HNSW index over ``recall_k`` documents, None until it was measured.
    ``source`` is the attached relation, None where documents are kept in Rankgres itself; its rows
    of before are backfilled, as far as ``backfill_done`` says. ``rate`` is documents per second in
    the last minute; ``lag_seconds`` is the age of the oldest change that somebody waits for.
    """

    collection: str
    generation_id: int
    embedding_model: str
    hnsw_state: str
    documents: int
    chunks: int
    pending: int
    leased: int
    dead: int
    oldest_seconds: float | None
    recall: float | None
    recall_k: int | None
    paused: bool
    source: str | None
    backfill_done: int | None
    backfill_total: int | None
    rate: float
    seconds_left: float | None
    lag_seconds: float | None

    @property
    def waiting(self) -> int:
        """Return how many documents are on their way, at least: one where any is."""
        left = (self.backfill_total or 0) - (self.backfill_done or 0)
        return max(self.pending + self.leased, left)


def create_collection(connection: Connection, plan: CollectionPlan) -> None:
    """Create an empty collection; it can be searched and filled at once.

    Where the embedding model does not know the language of the text, the collection's profile
    starts with a lexical weight that leaves the last word to BM25.

    Raises:
        InvalidInputError: a value is out of its range, or the model has no card.
        AlreadyExistsError: the name is taken.
    """
    _require_name(plan.name)
    card = encoder_card(plan.embedding_model or get_settings().embedding_model)
    chunk_tokens = plan.chunk_tokens or card.max_tokens
    if chunk_tokens > card.max_tokens:
        raise InvalidInputError(
            f"chunk_tokens {chunk_tokens} is more than {card.name} reads",
            field="chunk_tokens",
            value=chunk_tokens,
            mend=f"use at most {card.max_tokens}; what is longer would be cut",
        )
    values = asdict(plan) | {
        "embedding_model": card.name,
        "embedding_dimension": card.dimension,
        "chunk_tokens": chunk_tokens,
        "distance": plan.distance or card.distance,
    }
    connection.execute(_SQL["create"], values)
    if not card.reads(plan.text_search_config):
        profile = Jsonb({"lexical_weight": FOREIGN_LEXICAL_WEIGHT})
        connection.execute(_SQL["set_profile"], {"name": plan.name, "profile": profile})


def drop_collection(connection: Connection, name: str) -> None:
    """Drop a collection with everything in it.

    Raises:
        NotFoundError: there is none of that name.
    """
    _require_possible(name)
    if connection.execute(_SQL["drop"], {"name": name}).fetchone() != (True,):
        raise _no_collection(name)


def list_collections(connection: Connection) -> list[CollectionStatus]:
    """Return the status of every collection, by name."""
    with connection.cursor(row_factory=class_row(CollectionStatus)) as cursor:
        return cursor.execute(_SQL["status"], {"name": None}).fetchall()


def show_collection(connection: Connection, name: str) -> CollectionStatus:
    """Return the status of one collection, or raise NotFoundError."""
    _require_possible(name)
    with connection.cursor(row_factory=class_row(CollectionStatus)) as cursor:
        status = cursor.execute(_SQL["status"], {"name": name}).fetchone()
    if status is None:
        raise _no_collection(name)
    return status


def active_generation(connection: Connection, name: str) -> Generation:
    """Return the generation a collection is searched by, or raise NotFoundError."""
    _require_possible(name)
    with connection.cursor(row_factory=class_row(Generation)) as cursor:
        generation = cursor.execute(_SQL["active_generation"], {"name": name}).fetchone()
    if generation is None:
        raise _no_collection(name)
    return generation


def find_generation(connection: Connection, generation_id: int) -> Generation | None:
    """Return a generation, or None where it was dropped."""
    with connection.cursor(row_factory=class_row(Generation)) as cursor:
        return cursor.execute(_SQL["generation"], {"id": generation_id}).fetchone()


def _no_collection(name: str) -> NotFoundError:
    return NotFoundError(
        f"there is no collection {name!r}",
        field="collection",
        value=name,
        mend="'rankgres collection list' shows what there is; "
        "'rankgres collection create' makes another",
    )


def _require_possible(name: str) -> None:
    """Spare Postgres a name that no collection can have, such as one it cannot even read."""
    if not _NAME.fullmatch(name):
        raise _no_collection(name)


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"{name!r} cannot name a collection",
            field="name",
            value=name,
            mend="use a lower-case letter, then up to 62 of a-z, 0-9, _ and -",
        )
