"""Drop what only services and workers of before 0004 call, and have documents analysed anew."""

from alembic import op

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


#: Chunks of before have their words cut differently from the queries of now: in os.path.join, in
#: List<str>, in Chinese. Until its turn comes, a document is found by what did not change.
_QUEUE_EVERY_DOCUMENT = """
INSERT INTO rankgres.outbox (generation_id, document_id)
SELECT generation.id, document.id
FROM rankgres.generation
JOIN rankgres.document ON document.collection_id = generation.collection_id
WHERE generation.state IN ('building', 'active')
ON CONFLICT (generation_id, document_id) DO UPDATE SET version = nextval('rankgres.outbox_version')
"""


def upgrade() -> None:
    """Drop them and queue every document, when every service and worker is of 0004 or later."""
    drop_functions(*reversed(FUNCTIONS))
    op.execute(_QUEUE_EVERY_DOCUMENT)


def downgrade() -> None:
    """Create them again."""
    install_functions(*FUNCTIONS)
