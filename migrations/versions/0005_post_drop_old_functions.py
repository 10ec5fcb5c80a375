"""Drop the functions that only services and workers of before 0004 call."""

from migrations.install import drop_functions, install_functions

revision = "0005"
down_revision = "0004"

#: In an order in which each finds what it needs at creation.
FUNCTIONS = (
    "collection_create_v1",
    "chunk_replace_v1",
    "filter_condition_v1",
    "filter_to_jsonpath_v1",
    "query_lexemes_v1",
    "search_lexical_v1",
    "search_vector_v1",
    "snippet_v1",
)


def upgrade() -> None:
    """Drop them, when every service and worker is of 0004 or later."""
    drop_functions(*reversed(FUNCTIONS))


def downgrade() -> None:
    """Create them again."""
    install_functions(*FUNCTIONS)
