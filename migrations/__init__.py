"""Alembic revisions of the schema ``rankgres`` and, as files of their own, its SQL functions."""
