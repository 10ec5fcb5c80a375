"""Add what feedback among candidates reads, and mend what detaches before its first release.

0008 installs the mended files too: this is for databases that ran it before they were.
"""

from migrations.install import drop_functions, install_functions

revision = "0011"
down_revision = "0010"

#: In an order in which each finds what it needs at creation.
ADDED = ("chunk_embeddings_v1",)
MENDED = ("collection_drop_v2", "detach_v1")


def upgrade() -> None:
    """Create what is new, and replace the others; detach_v1 brings the public name along."""
    install_functions(*ADDED)
    drop_functions("detach", *reversed(MENDED))
    install_functions(*MENDED)


def downgrade() -> None:
    """Drop what is new; what was mended serves every schema from 0008 on."""
    drop_functions(*reversed(ADDED))
