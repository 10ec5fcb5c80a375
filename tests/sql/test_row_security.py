"""Row security of an attached table goes for its index: a forbidden row shows in nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from psycopg import errors, sql

from service.db.connection import Connection
from tests.support.attached import add_hand_model, attach
from tests.support.collections import chunk, found, generation_of, replace_chunks, search, value

#: What a role needs to search under row security, beside its rights on the attached table.
GRANTS = """
GRANT USAGE ON SCHEMA rankgres TO {role};
GRANT SELECT ON rankgres.collection, rankgres.generation, rankgres.filter_field,
    rankgres.generation_language, rankgres.lexeme, rankgres.lexeme_change, rankgres.chunk_total,
    rankgres.chunk_total_change, rankgres.{chunks} TO {role}
"""


@pytest.fixture
def secured(connection: Connection) -> Connection:
    """Documents of two tenants, and a role for each, which sees its own alone."""
    add_hand_model(connection)
    connection.execute(
        "CREATE TABLE papers "
        "(id bigint PRIMARY KEY, body text, tenant text, shown boolean DEFAULT true)"
    )
    connection.execute("ALTER TABLE papers ENABLE ROW LEVEL SECURITY")
    connection.execute("CREATE POLICY own ON papers USING (tenant = current_user)")
    rows = [(number, ("ann", "bob")[number % 2]) for number in range(1, 41)]
    for number, tenant in rows:
        connection.execute(
            "INSERT INTO papers VALUES (%s, %s, %s)", [number, f"cat {tenant}ish", tenant]
        )
    attach(
        connection, "papers", "papers", filters=["tenant"], condition="shown", row_security=True,
        embedding_model="by hand", text_search_config="simple",
    )  # fmt: skip
    generation = generation_of(connection, "papers")
    replace_chunks(
        connection,
        generation,
        [
            chunk(
                str(number),
                f"cat {tenant}ish secret{tenant}",
                heading=f"About {tenant}",
                filters={"tenant": tenant},
                embedding=(1, number / 100, 0, 0),
            )
            for number, tenant in rows
        ],
    )
    for role in ("ann", "bob"):
        grant(connection, role, generation)
        connection.execute(sql.SQL("GRANT SELECT ON papers TO {}").format(sql.Identifier(role)))
    return connection


def grant(connection: Connection, role: str, generation: int) -> None:
    """Make a role that may search the generation."""
    connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    names = {"role": sql.Identifier(role), "chunks": sql.Identifier(f"chunk_{generation}")}
    for statement in GRANTS.split(";"):
        connection.execute(sql.SQL(statement).format(**names))


@contextmanager
def acting_as(connection: Connection, role: str) -> Iterator[Connection]:
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
    yield connection
    connection.execute("RESET ROLE")


def tenant_ids(tenant: str) -> set[str]:
    return {str(number) for number in range(1, 41) if ("ann", "bob")[number % 2] == tenant}


@pytest.mark.parametrize("mode", ["lexical", "vector", "hybrid"])
def test_a_search_returns_allowed_documents_alone_and_all_of_them(
    secured: Connection, mode: str
) -> None:
    everything = search(secured, "cat", [1, 0, 0, 0], mode=mode, candidates=100)
    assert len(everything) == 40
    for role in ("ann", "bob"):
        with acting_as(secured, role):
            rows = search(secured, "cat", [1, 0, 0, 0], mode=mode, candidates=100)
            assert set(found(rows)) == tenant_ids(role)
            assert {row.metadata["tenant"] for row in rows} == {role}
            assert [row.rank for row in rows] == list(range(1, 21))


def test_forbidden_words_find_nothing_and_weigh_nothing(secured: Connection) -> None:
    with acting_as(secured, "ann"):
        assert found(search(secured, "secretbob")) == []
        assert found(search(secured, '"secretbob"', correct=True)) == []
        mine = search(secured, "cat secretann")
    secured.execute("DELETE FROM rankgres.lexeme_change")
    with acting_as(secured, "ann"):
        assert search(secured, "cat secretann") == mine


def test_facets_count_allowed_documents_alone(secured: Connection) -> None:
    counts = "SELECT value, documents FROM rankgres.facet_counts('papers', '{tenant}', query => %s)"
    for query in (None, "cat"):
        assert dict(secured.execute(counts, [query]).fetchall()) == {"ann": 20, "bob": 20}
        with acting_as(secured, "ann"):
            assert secured.execute(counts, [query]).fetchall() == [("ann", 20)]


def counts(explained: object) -> set[object]:
    """Every value of an explain tree but its durations, which could be any number."""
    if isinstance(explained, dict):
        kept = [value for key, value in explained.items() if not key.endswith("_ms")]
        return set[object]().union(*map(counts, kept))
    if isinstance(explained, list):
        return set[object]().union(*map(counts, explained))
    return {explained}


def test_what_a_search_says_of_itself_counts_nobody_else(secured: Connection) -> None:
    with acting_as(secured, "ann"):
        search(secured, "cat", mode="lexical", candidates=5)
        explained = value(secured, "SELECT current_setting('rankgres.explain')::jsonb")
    assert 20 in counts(explained)
    assert 40 not in counts(explained)


def test_suggestions_hold_no_forbidden_word(secured: Connection) -> None:
    suggest = "SELECT suggestion FROM rankgres.suggest('papers', %s)"
    for prefix in ("a", "b", "s", "secret", "cat", "About"):
        with acting_as(secured, "ann"):
            rows = {suggestion for (suggestion,) in secured.execute(suggest, [prefix])}
        assert not [suggestion for suggestion in rows if "bob" in suggestion.lower()]
    assert value(secured, suggest + " LIMIT 1", ["secret"]).startswith("secret")


def test_misspelled_words_are_not_corrected_to_forbidden_ones(secured: Connection) -> None:
    search(secured, "secretbbo", correct=True)
    with acting_as(secured, "ann"):
        assert found(search(secured, "secretbobb", correct=True)) == []
        explained = value(secured, "SELECT current_setting('rankgres.explain')")
    assert 'secretbob"' not in explained


@pytest.mark.parametrize("table", ["chunk_{}", "chunk", "lexeme", "lexeme_change"])
def test_nor_do_the_tables_themselves_show_any(secured: Connection, table: str) -> None:
    generation = generation_of(secured, "papers")
    secured.execute("GRANT SELECT ON ALL TABLES IN SCHEMA rankgres TO ann")
    if table == "lexeme":
        secured.execute("SELECT rankgres.statistics_fold_v1(%s)", [generation])
    read = sql.SQL("SELECT shown::text FROM {} AS shown").format(
        sql.Identifier("rankgres", table.format(generation))
    )
    assert "bob" in str(secured.execute(read).fetchall())
    with acting_as(secured, "ann"):
        rows = str(secured.execute(read).fetchall())
    assert "bob" not in rows
    assert ("ann" in rows) == (table == "chunk_{}")


def test_a_row_is_forbidden_as_soon_as_the_table_says_so(secured: Connection) -> None:
    # No worker has run: the index still has all of it.
    secured.execute("UPDATE papers SET tenant = 'ann' WHERE id = 1")
    secured.execute("UPDATE papers SET tenant = 'bob' WHERE id = 2")
    secured.execute("UPDATE papers SET shown = false WHERE id = 4")
    secured.execute("DELETE FROM papers WHERE id = 6")
    with acting_as(secured, "ann"):
        ids = set(found(search(secured, "cat", candidates=100)))
    assert ids == (tenant_ids("ann") | {"1"}) - {"2", "4", "6"}


def test_who_may_not_read_the_table_may_not_search_it(secured: Connection) -> None:
    grant(secured, "carl", generation_of(secured, "papers"))
    with (
        acting_as(secured, "carl"),
        pytest.raises(errors.InsufficientPrivilege),
        secured.transaction(),
    ):
        search(secured, "cat")


def test_other_collections_are_searched_by_the_same_role_as_ever(secured: Connection) -> None:
    attach(secured, "papers", "open", embedding_model="by hand", text_search_config="simple")
    generation = generation_of(secured, "open")
    replace_chunks(secured, generation, [chunk("1", "cat bobish"), chunk("2", "cat annish")])
    secured.execute(f"GRANT SELECT ON rankgres.chunk_{generation} TO ann".encode())
    with acting_as(secured, "ann"):
        assert set(found(search(secured, "cat", collection="open"))) == {"1", "2"}
        assert found(search(secured, "bobish", collection="open")) == ["1"]
        words = "SELECT suggestion FROM rankgres.suggest('open', 'bob')"
        assert value(secured, words) == "bobish"


def test_keys_of_several_columns_and_odd_types_are_asked_too(connection: Connection) -> None:
    add_hand_model(connection)
    connection.execute(
        "CREATE TABLE papers (document_id numeric, at timestamptz, body text, "
        "PRIMARY KEY (document_id, at))"
    )
    connection.execute("ALTER TABLE papers ENABLE ROW LEVEL SECURITY")
    connection.execute("CREATE POLICY own ON papers USING (body LIKE '%for ' || current_user)")
    connection.execute(
        "INSERT INTO papers VALUES (1.0, '2024-01-01 00:00+00', 'cat for ann'), "
        "(1.0, '2024-01-02 00:00+00', 'cat for bob')"
    )
    attach(
        connection, "papers", "papers", row_security=True, embedding_model="by hand",
        text_search_config="simple",
    )  # fmt: skip
    generation = generation_of(connection, "papers")
    ids = [f'["1.0", "2024-01-0{day} 00:00:00+00"]' for day in (1, 2)]
    replace_chunks(connection, generation, [chunk(id_, "cat") for id_ in ids])
    grant(connection, "ann", generation)
    connection.execute("GRANT SELECT ON papers TO ann")
    with acting_as(connection, "ann"):
        connection.execute("SET LOCAL timezone = 'Asia/Tokyo'")
        assert found(search(connection, "cat")) == ids[:1]


def test_without_it_row_security_is_not_asked(connection: Connection) -> None:
    add_hand_model(connection)
    connection.execute("CREATE TABLE papers (id integer PRIMARY KEY, body text)")
    connection.execute("ALTER TABLE papers ENABLE ROW LEVEL SECURITY")
    attach(connection, "papers", "papers", embedding_model="by hand")
    generation = generation_of(connection, "papers")
    replace_chunks(connection, generation, [chunk("1", "cat")])
    grant(connection, "ann", generation)
    with acting_as(connection, "ann"):
        assert found(search(connection, "cat")) == ["1"]
