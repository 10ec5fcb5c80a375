"""How Alembic runs our revisions: on the connection given by ``service.db.migration``.

One transaction a revision; what guards the run (advisory lock, timeouts) is set by the caller.
"""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=None,
    version_table="alembic_version",
    version_table_schema="rankgres",
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
