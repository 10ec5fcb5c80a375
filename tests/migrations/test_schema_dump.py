"""The kept dump shows what the migrations make, on every version alike."""

from tests.migrations.dump_schema import GOLDEN, dump_schema
from tests.support.databases import DatabaseServer


def test_the_kept_dump_is_what_the_migrations_make(
    server: DatabaseServer, database_url: str
) -> None:
    # pg_dump of 16 and of 18 write the same for what we use.
    assert dump_schema(database_url, server.version) == GOLDEN.read_text(encoding="utf-8"), (
        "migrations/schema.sql is not what the migrations make: run make schema-dump, "
        "and look at the difference in the commit"
    )


def test_the_dump_tells_of_no_server_and_no_session() -> None:
    text = GOLDEN.read_text(encoding="utf-8")
    assert "Dumped" not in text
    assert "\\restrict" not in text
    assert "OWNER" not in text
    assert text.count("CREATE SCHEMA rankgres;") == 1
