"""Install the SQL functions of ingestion and search."""

from migrations.install import drop_functions, install_functions

revision = "0002"
down_revision = "0001"

#: In an order in which each finds what it needs at creation.
FUNCTIONS = (
    "milliseconds_v1",
    "min_max_v1",
    "generation_distance_v1",
    "generation_hnsw_order_v1",
    "generation_hnsw_definition_v1",
    "collection_create_v1",
    "collection_drop_v1",
    "document_to_outbox_v1",
    "outbox_claim_v1",
    "outbox_extend_v1",
    "outbox_release_v1",
    "outbox_fail_v1",
    "outbox_finish_if_leased_v1",
    "chunk_replace_v1",
    "statistics_fold_v1",
    "filter_condition_v1",
    "filter_to_jsonpath_v1",
    "query_lexemes_v1",
    "search_lexical_v1",
    "search_vector_v1",
    "search_candidates_v1",
    "snippet_v1",
)


def upgrade() -> None:
    """Create the functions, and the triggers that stand in their files."""
    install_functions(*FUNCTIONS)


def downgrade() -> None:
    """Drop the functions and, with them, their triggers."""
    drop_functions("search_candidates", *reversed(FUNCTIONS))
