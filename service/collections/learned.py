"""What was learned from judgements of a collection: how to rerank, and what scores are worth.

``rankgres tune --rerank`` writes the rerank profile, ``rankgres calibrate`` the calibrations; every
search that says nothing else goes by both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal, Self

from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.collections.collection import Generation, active_generation
from service.db.connection import Connection
from service.db.statements import load_statements
from service.errors import InvalidInputError, RankgresError
from service.search.blend import GivenPart
from service.search.depth import DepthPolicy
from service.search.relevance import Calibration, Calibrations
from service.storable import JsonObject, Text

_SQL = load_statements(__file__)

Target = Literal["rerank", "fused"]


class RerankProfile(BaseModel):
    """What a collection's searches rerank by unless they say otherwise; None: the default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    weight: GivenPart | None = Field(
        None, description="of the reranker's z-score beside the fused one's, which is 1"
    )
    feedback: GivenPart | None = Field(
        None, description="of likeness to the best, by z-scores, beside the order so far"
    )
    candidates: int | None = Field(
        None, ge=1, le=1000, description="candidates that are scored at most"
    )
    adaptive: JsonObject | None = Field(
        None, description="rules by which fewer are scored where both stages agree"
    )
    source: Text | None = Field(None, description="where it was learned")

    @model_validator(mode="after")
    def _require_policy(self) -> Self:
        if self.adaptive is not None:
            try:
                DepthPolicy.from_json(self.adaptive)
            except RankgresError as error:
                raise ValueError(error.detail) from error
        return self

    @property
    def policy(self) -> DepthPolicy | None:
        """Return the adaptive policy; None: always as many as the budget allows."""
        return None if self.adaptive is None else DepthPolicy.from_json(self.adaptive)

    def as_json(self) -> dict[str, Any]:
        """Return what is set."""
        return self.model_dump(exclude_none=True)


#: Of a collection that nothing was learned for.
NO_RERANK_PROFILE: Final = RerankProfile()


@dataclass(frozen=True, slots=True)
class Learned:
    """What one search needs to know; ``rerank_calibrations`` are by the cross-encoder's name."""

    rerank_profile: RerankProfile = NO_RERANK_PROFILE
    rerank_calibrations: Mapping[str, Calibration] = field(
        default_factory=lambda: MappingProxyType({})
    )
    fused_calibration: Calibration | None = None

    def calibrations(
        self, reranker: str | None, shipped: Calibration | None, *, fused: bool
    ) -> Calibrations:
        """Return what the hits of one search are judged by.

        Args:
            reranker: the cross-encoder that scored; None where none did.
            shipped: the calibration on its card, for a collection that has none of its own.
            fused: whether fused scores mean what they meant when they were calibrated: both stages
                took part, and the request changes no parameter of the candidate stage.
        """
        own = self.rerank_calibrations.get(reranker or "")
        return Calibrations(own or shipped, self.fused_calibration if fused else None)


@dataclass(frozen=True, slots=True)
class StoredCalibration:
    """A calibration as it lies in the database, with the figures of its fit.

    ``counts`` is False where the search profile has changed since, so that fused scores have.
    """

    target: Target
    model: str
    method: Literal["platt", "isotonic"]
    points: list[list[float]]
    judged_queries: int
    figures: dict[str, Any]
    fitted_at: datetime
    counts: bool


def parse_rerank_profile(values: Mapping[str, Any]) -> RerankProfile:
    """Return the values as a rerank profile.

    Raises:
        InvalidInputError: names what is not known or out of its range.
    """
    try:
        return RerankProfile.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        # The policy is looked at as a whole, so that its error names no field.
        name = str((*first["loc"], "adaptive")[0])
        known = RerankProfile.model_fields.get(name)
        raise InvalidInputError(
            f"rerank.{name}: {first['msg']}" if known else f"there is no parameter 'rerank.{name}'",
            field=f"rerank.{name}",
            value=values.get(name),
            mend=f"it is {known.description}; unset it, or choose another value"
            if known
            else f"use one of {', '.join(f'rerank.{each}' for each in RerankProfile.model_fields)}",
        ) from None


def read_learned(connection: Connection, generation: Generation) -> Learned:
    """Return what was learned for a collection and its active generation, in one statement."""
    values = {
        "collection_id": generation.collection_id,
        "embedding_model": generation.embedding_model,
    }
    row = connection.execute(_SQL["read"], values).fetchone()
    if row is None:
        # Dropped meanwhile: the next statement of the search says so.
        return Learned()
    profile, rows = row
    found = [(each["target"], each["model"], Calibration.from_json(each)) for each in rows]
    fused = [calibration for target, _, calibration in found if target == "fused"]
    return Learned(
        parse_rerank_profile(profile or {}),
        {model: calibration for target, model, calibration in found if target == "rerank"},
        fused[0] if fused else None,
    )


def read_rerank_profile(connection: Connection, collection: str) -> RerankProfile:
    """Return a collection's rerank profile, or raise NotFoundError."""
    return read_learned(connection, active_generation(connection, collection)).rerank_profile


def write_rerank_profile(connection: Connection, collection: str, profile: RerankProfile) -> None:
    """Replace a collection's rerank profile; searches that begin after the commit use it.

    Raises:
        NotFoundError: there is no such collection.
    """
    values = profile.as_json()
    connection.execute(
        _SQL["write_rerank_profile"],
        {
            "collection_id": active_generation(connection, collection).collection_id,
            "profile": Jsonb(values) if values else None,
        },
    )


def write_calibration(
    connection: Connection,
    collection: str,
    target: Target,
    model: str,
    calibration: Calibration,
    *,
    judged_queries: int,
    figures: Mapping[str, Any],
) -> None:
    """Keep a calibration in the place of the one before; later searches judge by it.

    Raises:
        NotFoundError: there is no such collection.
    """
    connection.execute(
        _SQL["write_calibration"],
        {
            "collection_id": active_generation(connection, collection).collection_id,
            "target": target,
            "model": model,
            "method": calibration.method,
            "points": Jsonb([list(point) for point in calibration.points]),
            "judged_queries": judged_queries,
            "figures": Jsonb(dict(figures)),
        },
    )


def list_calibrations(connection: Connection, collection: str) -> list[StoredCalibration]:
    """Return a collection's calibrations, those of rerankers first, or raise NotFoundError."""
    values = {"collection_id": active_generation(connection, collection).collection_id}
    with connection.cursor(row_factory=class_row(StoredCalibration)) as cursor:
        return cursor.execute(_SQL["list_calibrations"], values).fetchall()


def remove_calibrations(connection: Connection, collection: str) -> int:
    """Forget a collection's calibrations and return how many there were, or raise NotFoundError."""
    values = {"collection_id": active_generation(connection, collection).collection_id}
    return connection.execute(_SQL["remove_calibrations"], values).rowcount
