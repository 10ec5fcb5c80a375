"""Drop what only services and workers of before 0008 call."""

from migrations.install import drop_functions, install_functions

revision = "0009"
down_revision = "0008"

#: In an order in which each finds what it needs at creation.
FUNCTIONS = (
    "chunk_replace_v2",
    "collection_drop_v1",
    "outbox_claim_v1",
    "outbox_extend_v1",
    "outbox_finish_if_leased_v1",
    "outbox_release_v1",
)


def upgrade() -> None:
    """Drop them, when every service and worker is of 0008 or later."""
    drop_functions(*reversed(FUNCTIONS))


def downgrade() -> None:
    """Create them again."""
    install_functions(*FUNCTIONS)
