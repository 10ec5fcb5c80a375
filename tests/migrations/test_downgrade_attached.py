"""Going back to a schema that knows no attached tables leaves these as they were."""

from service.db.connection import connect
from service.db.migration import downgrade, upgrade
from service.sources.source import SourcePlan, attach_source
from tests.support.collections import value


def test_an_attached_table_loses_its_triggers_and_is_written_as_before(
    newest_database_url: str,
) -> None:
    with connect(newest_database_url) as connection:
        connection.execute("CREATE TABLE public.note (id integer PRIMARY KEY, body text)")
        attach_source(connection, SourcePlan("notes", "public.note", text=["body"]))
    downgrade(newest_database_url, "0007")
    with connect(newest_database_url) as connection:
        connection.execute("INSERT INTO public.note VALUES (1, 'written')")
        triggers = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'public.note'::regclass"
        assert value(connection, triggers) == 0
    downgrade(newest_database_url, "0006")
    upgrade(newest_database_url)
    with connect(newest_database_url) as connection:
        connection.execute("UPDATE public.note SET body = 'again'")
        assert value(connection, "SELECT source FROM rankgres.collection_status") is None
