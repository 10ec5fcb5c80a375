"""Every error Rankgres raises on purpose: what is wrong, with which field, and the mend."""

from typing import ClassVar


class RankgresError(Exception):
    """Something went wrong inside Rankgres."""

    #: HTTP status the service answers with.
    status: ClassVar[int] = 500
    #: Last part of the problem type, stable across releases.
    slug: ClassVar[str] = "internal-error"

    def __init__(
        self,
        detail: str | None = None,
        *,
        field: str | None = None,
        value: object = None,
        mend: str | None = None,
    ) -> None:
        self.detail = detail or type(self).title()
        self.field = field
        self.value = value
        self.mend = mend
        super().__init__(self.detail)

    @classmethod
    def title(cls) -> str:
        """Return the class's first docstring line, the default message."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0]

    def __str__(self) -> str:
        """Return the detail and, on a second line, the mend."""
        return f"{self.detail}\n{self.mend}" if self.mend else self.detail


class InvalidInputError(RankgresError):
    """A value given by the caller is not acceptable."""

    status = 422
    slug = "invalid-input"


class NotFoundError(RankgresError):
    """What the caller named does not exist."""

    status = 404
    slug = "not-found"


class CursorExpiredError(RankgresError):
    """The list that a cursor goes on with is not kept any more."""

    status = 410
    slug = "cursor-expired"


class AlreadyExistsError(RankgresError):
    """What the caller wants to create exists already."""

    status = 409
    slug = "already-exists"


class NotAllowedError(RankgresError):
    """The database role lacks a right that this needs."""

    status = 403
    slug = "not-allowed"


class SourceUnreadableError(RankgresError):
    """The relation that a collection is attached to cannot be read as it was."""

    status = 409
    slug = "source-unreadable"


class StackNotRunningError(RankgresError):
    """No Rankgres stack is running here."""

    status = 503
    slug = "stack-not-running"


class DatabaseUnavailableError(RankgresError):
    """Postgres cannot be reached."""

    status = 503
    slug = "database-unavailable"


class SchemaMismatchError(RankgresError):
    """The database's schema does not fit this version of Rankgres."""

    status = 503
    slug = "schema-mismatch"


class ModelUnavailableError(RankgresError):
    """A model cannot be found or loaded."""

    status = 503
    slug = "model-unavailable"
