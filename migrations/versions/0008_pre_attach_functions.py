"""Install what attaches tables, follows their changes, indexes what changed, and verifies it."""

from migrations.install import drop_functions, install_functions, run_sql_file

revision = "0008"
down_revision = "0007"

#: In an order in which each finds what it needs at creation.
FUNCTIONS: tuple[str, ...] = (
    "source_unreadable_v1",
    "source_name_v1",
    "source_free_name_v1",
    "source_columns_v1",
    "source_template_v1",
    "source_id_v1",
    "source_key_index_v1",
    "source_row_v1",
    "source_statement_v1",
    "source_shape_v1",
    "source_store_v1",
    "source_reading_v1",
    "source_documents_v1",
    "source_hashes_together_v1",
    "source_hashes_of_v1",
    "source_hashes_apart_v1",
    "source_hashes_v1",
    "source_tables_v1",
    "source_caller_v1",
    "source_column_names_v1",
    "source_require_columns_v1",
    "source_key_v1",
    "source_condition_v1",
    "source_require_rights_v1",
    "source_triggers_v1",
    "source_attach_triggers_v1",
    "generation_row_security_v1",
    "generation_secured_v1",
    "outbox_queue_v1",
    "source_change_fold_v1",
    "backfill_statement_v1",
    "backfill_step_v1",
    "source_follow_v1",
    "source_queue_difference_v1",
    "source_changes_unknown_v1",
    "source_compare_v1",
    "source_register_v1",
    "attach_v1",
    "source_authorize_v1",
    "detach_v1",
    "pause_v1",
    "resume_v1",
    "outbox_claim_v2",
    "outbox_release_v2",
    "outbox_extend_v2",
    "outbox_finish_if_leased_v2",
    "chunk_kept_v1",
    "chunk_replace_v3",
    "source_rows_v1",
    "source_sample_v1",
    "collection_drop_v2",
    "retry_v1",
    "generation_verify_v1",
    "verify_v1",
)

#: Names that stay, each in the file of the version behind it.
PUBLIC = ("attach", "detach", "pause", "resume", "retry", "verify")


def upgrade() -> None:
    """Create the functions, and what keeps lexemes of forbidden rows from showing."""
    install_functions(*FUNCTIONS)
    run_sql_file("versions/0008_pre_attach_functions.sql")


def downgrade() -> None:
    """Drop them; query_lexemes_v2 is again as its file has it."""
    run_sql_file("versions/0008_pre_attach_functions.down.sql")
    drop_functions("query_lexemes_v2", *PUBLIC, *reversed(FUNCTIONS))
    install_functions("query_lexemes_v2")
