"""Add what search profiles, measured recall and parsed queries are kept in."""

from migrations.install import run_sql_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add columns with defaults, which rewrites no table, and types."""
    run_sql_file("versions/0003_pre_extend_search.sql")


def downgrade() -> None:
    """Drop them; profiles and measured recall are lost."""
    run_sql_file("versions/0003_pre_extend_search.down.sql")
