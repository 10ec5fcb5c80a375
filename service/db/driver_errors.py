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
    NotAllowedError,
    NotFoundError,
    RankgresError,
    SchemaMismatchError,
    SourceUnreadableError,
)

_UNREACHABLE = (
    errors.AdminShutdown,
    errors.CannotConnectNow,
    errors.CrashShutdown,
    errors.TooManyConnections,
    errors.ConnectionException,
)

#: What to write instead, by the check constraint that a value broke.
_LIMITS = {
    "collection_name_check": "use a lower-case letter, then up to 62 of a-z, 0-9, _ and -",
    "collection_search_profile_check": "use a JSON object of search_candidates' parameters",
    "collection_rerank_profile_check": "use a JSON object, or NULL for the defaults",
    "calibration_target_check": "use rerank or fused",
    "calibration_method_check": "use platt or isotonic",
    "calibration_points_check": "use a JSON array of pairs, as 'rankgres calibrate' writes it",
    "calibration_judged_queries_check": "use 1 or more",
    "calibration_figures_check": "use a JSON object",
    "generation_storage_type_check": "use halfvec, vector or bit",
    "generation_distance_check": "use cosine, inner_product or l2",
    "generation_embedding_dimension_check": "use 1 to 4000, for storage_type vector at most 2000",
    "generation_chunk_tokens_check": "use 16 to 32768, and no more than the model reads",
    "generation_overlap_tokens_check": "use 0 to half of chunk_tokens",
    "generation_bm25_k1_check": "use 0 or more; 1.2 is usual",
    "generation_bm25_b_check": "use 0 to 1; 0.75 is usual",
    "generation_hnsw_m_check": "use 2 to 100; 16 is usual",
    "generation_hnsw_ef_construction_check": "use twice hnsw_m to 1000",
    "generation_lexical_index_check": "use gin or pg_textsearch",
    "generation_recall_check": "use 0 to 1, the share found",
    "document_id_check": "use 1 to 1024 bytes",
    "document_metadata_check": "use a JSON object",
    "source_text_format_check": "use plain, html or markdown",
    "source_sync_check": "use triggers or comparison",
    "source_compare_every_check": "use an interval above 0, such as 5 minutes",
    "backfill_rows_per_second_check": "use a number above 0, or NULL for no throttle",
}

#: How to write what Postgres could not read, by its code.
_FORMATS: dict[str | None, str] = {"22007": "write it like 10 minutes, or 2024-12-31"}


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
        case errors.UniqueViolation() | errors.DuplicateObject():
            translation: RankgresError | None = _taken(error)
        case errors.CheckViolation():
            field = _constraint_field(error)
            limit = _LIMITS.get(error.diag.constraint_name or "")
            translation = InvalidInputError(
                f"{field} is out of its range" if limit else message,
                field=field,
                mend=limit or hint,
            )
        case errors.ForeignKeyViolation() if "document_collection_id_fkey" in str(error):
            translation = NotFoundError(
                "the collection was dropped meanwhile",
                field="collection",
                mend="create it again, then repeat the write",
            )
        case (
            errors.InvalidParameterValue()
            | errors.InvalidTextRepresentation()
            | errors.InvalidDatetimeFormat()
        ):
            translation = InvalidInputError(
                message, field=error.diag.column_name, mend=hint or _FORMATS.get(error.sqlstate)
            )
        case errors.UndefinedTable() | errors.UndefinedFunction() | errors.InvalidSchemaName():
            translation = SchemaMismatchError(message, mend="run 'rankgres migrate'")
        case errors.UndefinedObject():
            translation = NotFoundError(message, field=error.diag.column_name, mend=hint)
        case errors.LockNotAvailable() | errors.ObjectNotInPrerequisiteState():
            translation = _not_as_it_was(error)
        case errors.InsufficientPrivilege():
            translation = _missing_right(error)
        case _ if isinstance(error, (*_UNREACHABLE, PoolTimeout)) or _lost(error):
            translation = DatabaseUnavailableError(
                f"Postgres cannot be reached: {message}",
                mend="check RANKGRES_DATABASE_URL and that the server runs; "
                "'rankgres doctor' helps",
            )
        case _:
            translation = None
    return translation


def _taken(error: psycopg.Error) -> RankgresError | None:
    if "collection_name_key" in str(error):
        return AlreadyExistsError(
            "a collection of that name exists",
            field="name",
            mend="choose another name, or drop that collection first",
        )
    if isinstance(error, errors.DuplicateObject):
        return AlreadyExistsError(_message(error), field=error.diag.column_name, mend=_hint(error))
    return None


def _missing_right(error: psycopg.Error) -> RankgresError:
    if hint := _hint(error):
        # Ours name the right that is missing; Postgres' own have no hint.
        return NotAllowedError(_message(error), field=error.diag.column_name, mend=hint)
    return SchemaMismatchError(
        f"the database role may not: {_message(error)}",
        field="database_url",
        mend="use the role that ran 'rankgres migrate'; to migrate, a role needs "
        "GRANT CREATE ON DATABASE, or to own the schema rankgres",
    )


def _not_as_it_was(error: psycopg.Error) -> RankgresError | None:
    if isinstance(error, errors.LockNotAvailable):
        return DatabaseUnavailableError(
            f"another session held a lock for too long: {_message(error)}",
            mend="end its transaction (pg_stat_activity names it), then try again; "
            "nothing was left half done",
        )
    if hint := _hint(error):
        return SourceUnreadableError(_message(error), mend=hint)
    return None


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
