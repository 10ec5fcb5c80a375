"""Access to Postgres: connections, named statements, migrations, error translation."""
