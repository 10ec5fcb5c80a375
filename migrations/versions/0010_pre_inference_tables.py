"""Add what is learned from judgements: calibrations, and how much of a search is reranked."""

from migrations.install import run_sql_file

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create them; nothing is calibrated, and searches rerank as they did."""
    run_sql_file("versions/0010_pre_inference_tables.sql")


def downgrade() -> None:
    """Drop them; what was learned is lost, and can be learned again."""
    run_sql_file("versions/0010_pre_inference_tables.down.sql")
