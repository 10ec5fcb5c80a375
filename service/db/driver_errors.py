"""The one place where the driver's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors
from psycopg_pool import PoolTimeout

from service.errors import (
    AlreadyExistsError,
    DatabaseUnavailableError,
    InvalidInputError,
    NotFoundError,
    RankgresError,
    SchemaMismatchError,
)

_UNREACHABLE = (
    errors.AdminShutdown,
    errors.CannotConnectNow,
    errors.CrashShutdown,
    errors.TooManyConnections,
    errors.ConnectionException,
)


@contextmanager
def translated() -> Iterator[None]:
    """Raise ours in place of the driver's errors that have a meaning; let the rest through."""
    try:
        yield
    except (psycopg.Error, PoolTimeout) as error:
        translation = _translate(error)
        if translation is None:
            raise
        raise translation from error


def _translate(error: Exception) -> RankgresError | None:
    message, hint = _message(error), _hint(error)
    match error:
        case errors.UniqueViolation() if "collection_name_key" in str(error):
            translation: RankgresError | None = AlreadyExistsError(
                "a collection of that name exists",
                field="name",
                mend="choose another name, or drop that collection first",
            )
        case errors.CheckViolation():
            translation = InvalidInputError(message, field=_constraint_field(error), mend=hint)
        case errors.InvalidParameterValue() | errors.InvalidTextRepresentation():
            translation = InvalidInputError(message, mend=hint)
        case errors.UndefinedTable() | errors.UndefinedFunction() | errors.InvalidSchemaName():
            translation = SchemaMismatchError(message, mend="run 'rankgres migrate'")
        case errors.UndefinedObject():
            translation = NotFoundError(message, mend=hint)
        case _ if isinstance(error, (*_UNREACHABLE, PoolTimeout)) or _lost(error):
            translation = DatabaseUnavailableError(
                f"Postgres cannot be reached: {message}",
                mend="check RANKGRES_DATABASE_URL and that the server runs; "
                "'rankgres doctor' helps",
            )
        case _:
            translation = None
    return translation


def _lost(error: Exception) -> bool:
    # No connection, or one that broke: libpq gives these no SQLSTATE.
    return isinstance(error, psycopg.OperationalError) and error.sqlstate is None


def _message(error: Exception) -> str:
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return primary or str(error).strip().splitlines()[0] if str(error).strip() else repr(error)


def _hint(error: Exception) -> str | None:
    return error.diag.message_hint if isinstance(error, psycopg.Error) else None


def _constraint_field(error: psycopg.Error) -> str | None:
    """Return the column in a constraint named table_column_check, as all of ours are."""
    name, table = error.diag.constraint_name, error.diag.table_name
    if not name or not table:
        return None
    return name.removeprefix(f"{table}_").removesuffix("_check") or None
