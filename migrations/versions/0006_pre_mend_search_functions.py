"""Install anew what was mended in the candidate stage before its first release.

0004 installs the mended files too: this is for databases that ran it before they were.
"""

from migrations.install import drop_functions, install_functions

revision = "0006"
down_revision = "0005"

#: In an order in which each finds what it needs at creation.
FUNCTIONS = (
    "query_unquoted_v1",
    "query_unexcluded_v1",
    "query_parse_v1",
    "search_lexical_v2",
    "search_vector_plan_v1",
    "score_unlisted_v1",
    "search_profile_v1",
    "search_candidates_v2",
)


def upgrade() -> None:
    """Replace them; search_candidates_v2 brings the public name along."""
    drop_functions("search_candidates", *reversed(FUNCTIONS))
    install_functions(*FUNCTIONS)


def downgrade() -> None:
    """Keep them: they serve every schema from 0004 on."""
