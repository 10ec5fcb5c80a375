"""Install the second candidate stage beside the first, and move the public name to it."""

from alembic import op

from migrations.install import drop_functions, install_functions

revision = "0004"
down_revision = "0003"

#: In an order in which each finds what it needs at creation.
FUNCTIONS: tuple[str, ...] = (
    "lexemes_words_v1",
    "lexemes_bounded_v1",
    "lexemes_v1",
    "language_config_v1",
    "generation_configs_v1",
    "filter_moment_v1",
    "filter_instant_v1",
    "filter_comparison_v1",
    "filter_condition_v2",
    "filter_fields_v1",
    "filter_field_note_v1",
    "filter_field_check_v1",
    "filter_to_jsonpath_v2",
    "chunk_suggest_index_v1",
    "chunk_selectivity_v1",
    "search_vector_statement_v1",
    "search_vector_plan_v1",
    "search_vector_v2",
    "collection_create_v2",
    "chunk_replace_v2",
    "score_scale_v1",
    "fuse_v1",
    "query_words_v1",
    "query_unhyphenated_v1",
    "query_phrase_v1",
    "query_tokens_v1",
    "query_unquoted_v1",
    "query_unexcluded_v1",
    "query_parse_v1",
    "facet_counts_v1",
    "query_lexemes_v2",
    "edit_distance_v1",
    "edit_variants_v1",
    "lexeme_correction_v1",
    "query_correct_v1",
    "suggest_v1",
    "query_match_v1",
    "lexical_statistics_v1",
    "lexical_score_v1",
    "lexical_terms_v1",
    "lexical_promise_v1",
    "lexical_rungs_v1",
    "search_lexical_v2",
    "score_lexical_v1",
    "score_vector_v1",
    "score_unlisted_v1",
    "textsearch_word_v1",
    "chunk_textsearch_v1",
    "generation_textsearch_index_v1",
    "search_textsearch_v1",
    "autocut_v1",
    "recency_v1",
    "boost_v1",
    "filter_number_v1",
    "parameter_number_v1",
    "parameter_object_v1",
    "parameter_seconds_v1",
    "recency_parameters_v1",
    "boost_parameters_v1",
    "boost_scores_v1",
    "diversify_v1",
    "search_shape_v1",
    "search_profile_v1",
    "snippet_beginning_v1",
    "snippet_marked_v1",
    "snippet_v2",
    "search_candidates_v2",
)

_DROP_TITLE_INDEXES = """
DO $$
DECLARE
    title_index regclass;
BEGIN
    FOR title_index IN
        SELECT oid FROM pg_catalog.pg_class
        WHERE relnamespace = 'rankgres'::regnamespace AND relkind = 'i'
            AND relname ~ '^chunk_[0-9]+_title$'
    LOOP
        EXECUTE format('DROP INDEX %s', title_index);
    END LOOP;
END
$$
"""


def upgrade() -> None:
    """Create the functions, and the index of titles on the chunks that are there.

    Its build is seconds a million chunks, in which workers that write chunks wait.
    """
    drop_functions("search_candidates", "search_candidates_v1")
    install_functions(*FUNCTIONS)
    op.execute("SELECT rankgres.chunk_suggest_index_v1(id) FROM rankgres.generation")


def downgrade() -> None:
    """Drop the functions and the indexes of titles."""
    op.execute(_DROP_TITLE_INDEXES)
    drop_functions("suggest", "facet_counts", "search_candidates", *reversed(FUNCTIONS))
    install_functions("search_candidates_v1")
