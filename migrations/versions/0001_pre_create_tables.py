"""Create the tables of the schema rankgres."""

from migrations.install import run_sql_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create tables, types and the status view."""
    run_sql_file("versions/0001_pre_create_tables.sql")


def downgrade() -> None:
    """Drop them; every collection, document and embedding in them is lost."""
    run_sql_file("versions/0001_pre_create_tables.down.sql")
