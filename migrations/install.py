"""Runs SQL files inside a revision. Revisions hold order and reasons, files hold the SQL."""

from pathlib import Path

from alembic import op
from sqlalchemy import text

_FOLDER = Path(__file__).parent

_SIGNATURES = text(
    "SELECT oid::regprocedure::text FROM pg_catalog.pg_proc "
    "WHERE proname = :name AND pronamespace = 'rankgres'::regnamespace"
)


def run_sql_file(name: str) -> None:
    """Run every statement of a file below ``migrations/`` in the revision's transaction.

    ``search_path`` is pg_catalog, the schema that pgvector lives in, and pg_temp: functions that
    say ``SET search_path FROM CURRENT`` are pinned to it. The rest is written with its schema.
    """
    op.execute(
        text(
            "SELECT set_config('search_path', format('pg_catalog, %I, pg_temp', nspname), true) "
            "FROM pg_catalog.pg_extension "
            "JOIN pg_catalog.pg_namespace ON pg_namespace.oid = extnamespace "
            "WHERE extname = 'vector'"
        )
    )
    # Straight to the driver: a file holds many statements, and its colons are not parameters.
    op.get_bind().exec_driver_sql((_FOLDER / name).read_text(encoding="utf-8").replace("%", "%%"))


def install_functions(*names: str) -> None:
    """Create the functions of ``migrations/functions/NAME.sql``, in the order given."""
    for name in names:
        run_sql_file(f"functions/{name}.sql")


def drop_functions(*names: str) -> None:
    """Drop every overload of the functions, with the triggers that call them."""
    for name in names:
        for signature in op.get_bind().scalars(_SIGNATURES, {"name": name}).all():
            op.execute(text(f"DROP FUNCTION {signature} CASCADE"))
