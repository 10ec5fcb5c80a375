"""${message}

Before you write: this runs beside live traffic.
- Name the file NNNN_pre_… (before the new code is deployed) or NNNN_post_… (after it).
- Locks are waited for five seconds, then the run fails and can be repeated: take strong locks briefly.
- Never edit a function's file once released: add the next _vN and install that.
- Build large indexes CONCURRENTLY, in a revision of their own, inside autocommit_block().
"""

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Say what is true afterwards."""


def downgrade() -> None:
    """Say what is lost."""
