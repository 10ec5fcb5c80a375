"""Add what attached tables, their changes, their backfill and their comparison are kept in."""

from migrations.install import run_sql_file

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the tables; documents indexed before have no hash until they are indexed anew."""
    run_sql_file("versions/0007_pre_attach_tables.sql")


def downgrade() -> None:
    """Drop them; attached collections are then managed ones without documents."""
    run_sql_file("versions/0007_pre_attach_tables.down.sql")
