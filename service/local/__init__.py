"""The embedded stack: Postgres, Redis, and the supervisor of every process."""
