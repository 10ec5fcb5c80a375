"""Pages of a kept list: disjoint, complete, and honest about what is gone."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from psycopg.types.json import Jsonb

from service.db.connection import Connection, Pool, connect, transaction
from service.errors import CursorExpiredError, InvalidInputError
from service.search.candidates import Candidate
from service.search.pages import Page, load_page, save_snapshot, sweep_snapshots
from service.search.ranking import ModelScore, RankedDocument, group_documents
from service.search.relevance import Judged
from tests.support.collections import Row, chunk, make_collection, replace_chunks, search, value
from workers.tend_generations import sweep_search_snapshots

REQUEST = {"query": "cat", "passages": 2}


def fill(connection: Connection, count: int = 25, collection: str = "papers") -> int:
    """Make a collection in which every document has two chunks with the word."""
    generation = make_collection(connection, collection)
    replace_chunks(
        connection,
        generation,
        [
            chunk(f"doc{number:02}", "cat " * (1 + number % 4) + "dog", position=place)
            for number in range(count)
            for place in (0, 1)
        ],
    )
    return generation


def ranked(rows: Sequence[Row]) -> list[RankedDocument]:
    """Rerank what a search found to the opposite order."""
    documents = group_documents([Candidate(**row._asdict()) for row in rows])[::-1]
    return [
        replace(
            document,
            score=1 / place,
            rerank=ModelScore("small", -place / 3, place),
            second=ModelScore("large", place / 7, 3) if place < 12 else None,
            window=(4, 7) if place % 2 else None,
            judged=Judged(place / 100, "25 judged queries"),
        )
        for place, document in enumerate(documents, start=1)
    ]


def everything(connection: Connection) -> list[RankedDocument]:
    return ranked(search(connection, "cat", candidates=100, passages=2))


def ids(documents: Sequence[RankedDocument]) -> list[str]:
    return [document.best.document_id for document in documents]


def read_all(connection: Connection, cursor: str | None, size: int) -> list[Page]:
    pages = []
    while cursor is not None:
        pages.append(load_page(connection, "papers", cursor, size))
        cursor = pages[-1].next_cursor
    return pages


@pytest.mark.parametrize("size", [1, 7, 10, 15, 1000])
def test_pages_are_disjoint_and_complete_over_the_list(connection: Connection, size: int) -> None:
    generation = fill(connection)
    documents = everything(connection)
    assert len(documents) == 25
    cursor = save_snapshot(connection, generation, REQUEST, documents, shown=10)
    pages = read_all(connection, cursor, size)
    # Every passage, score and rank of every stage is as it was.
    assert [document for page in pages for document in page.documents] == documents[10:]
    assert [rank for page in pages for rank in page.ranks] == list(range(11, 26))
    assert [len(page.documents) for page in pages][:-1] == [size] * (len(pages) - 1)
    assert {page.gone for page in pages} == {0}
    assert all(page.request == REQUEST for page in pages)
    assert {page.generation_id for page in pages} == {generation}


def test_the_same_cursor_gives_the_same_page_again(connection: Connection) -> None:
    generation = fill(connection)
    cursor = save_snapshot(connection, generation, REQUEST, everything(connection), shown=10)
    assert cursor is not None
    assert load_page(connection, "papers", cursor, 5) == load_page(connection, "papers", cursor, 5)


@pytest.mark.parametrize("shown", [25, 30])
def test_where_nothing_follows_nothing_is_kept(connection: Connection, shown: int) -> None:
    generation = fill(connection)
    assert (
        save_snapshot(connection, generation, REQUEST, everything(connection), shown=shown) is None
    )
    assert value(connection, "SELECT count(*) FROM rankgres.search_snapshot") == 0


def test_what_is_written_meanwhile_changes_no_order(connection: Connection) -> None:
    generation = fill(connection)
    documents = everything(connection)
    cursor = save_snapshot(connection, generation, REQUEST, documents, shown=10)
    replace_chunks(
        connection,
        generation,
        # One that would be first now, one that says something else, one that has grown shorter.
        [
            chunk("new", "cat cat cat cat cat cat"),
            *[chunk(ids(documents)[12], "all else", position=place) for place in (0, 1)],
            chunk(ids(documents)[14], "shorter"),
        ],
    )
    pages = read_all(connection, cursor, 4)
    found = [document for page in pages for document in page.documents]
    assert ids(found) == ids(documents)[10:]
    assert [passage.text for passage in found[2].passages] == ["all else", "all else"]
    assert [passage.text for passage in found[4].passages] == ["shorter"]
    assert found[4].score == documents[14].score


def test_a_document_whose_passages_moved_shows_its_first(connection: Connection) -> None:
    generation = fill(connection, 3)
    documents = [
        replace(document, passages=document.passages[1:]) for document in everything(connection)
    ]
    # Position 1 is the only one kept of each, and this one has it no more.
    assert documents[2].best.position == 1
    cursor = save_snapshot(connection, generation, REQUEST, documents, shown=1)
    replace_chunks(connection, generation, [chunk(ids(documents)[2], "whole", position=0)])
    [page] = read_all(connection, cursor, 10)
    assert ids(page.documents) == ids(documents)[1:]
    assert [passage.text for passage in page.documents[1].passages] == ["whole"]


def test_what_is_deleted_meanwhile_is_left_out_and_counted(connection: Connection) -> None:
    generation = fill(connection)
    documents = everything(connection)
    cursor = save_snapshot(connection, generation, REQUEST, documents, shown=10)
    gone = [ids(documents)[place] for place in (11, 12, 13, 14, 20)]
    replace_chunks(connection, generation, [], also=gone)
    pages = read_all(connection, cursor, 5)
    assert [page.gone for page in pages] == [4, 0, 1]
    # The others stay on their pages, under their ranks.
    assert [page.ranks for page in pages] == [[11], [16, 17, 18, 19, 20], [22, 23, 24, 25]]
    assert [name for page in pages for name in ids(page.documents)] == [
        name for name in ids(documents)[10:] if name not in gone
    ]


def test_a_page_may_be_gone_altogether(connection: Connection) -> None:
    generation = fill(connection, 12)
    documents = everything(connection)
    cursor = save_snapshot(connection, generation, REQUEST, documents, shown=10)
    replace_chunks(connection, generation, [], also=ids(documents)[10:])
    assert cursor is not None
    page = load_page(connection, "papers", cursor, 5)
    assert (page.documents, page.ranks, page.gone, page.next_cursor) == ([], [], 2, None)


def age(connection: Connection, seconds: float) -> None:
    connection.execute(
        "UPDATE rankgres.search_snapshot SET expires_at = expires_at - make_interval(secs => %s)",
        [seconds],
    )


def test_an_expired_cursor_says_so_with_its_mend(connection: Connection) -> None:
    generation = fill(connection)
    cursor = save_snapshot(connection, generation, REQUEST, everything(connection), shown=10)
    assert cursor is not None
    age(connection, 601)
    with pytest.raises(CursorExpiredError) as raised:
        load_page(connection, "papers", cursor, 5)
    assert (raised.value.status, raised.value.field) == (410, "cursor")
    assert raised.value.mend == "search again; a list is kept for 10 minutes after its last page"


def test_reading_a_page_keeps_the_list_for_as_long_again(connection: Connection) -> None:
    generation = fill(connection)
    cursor = save_snapshot(connection, generation, REQUEST, everything(connection), shown=10)
    assert cursor is not None
    for _ in range(3):
        age(connection, 400)
        load_page(connection, "papers", cursor, 5)


def test_sweeping_removes_what_has_expired_and_nothing_else(connection: Connection) -> None:
    generation = fill(connection)
    documents = everything(connection)
    old = save_snapshot(connection, generation, REQUEST, documents, shown=10)
    age(connection, 601)
    new = save_snapshot(connection, generation, REQUEST, documents, shown=10)
    assert sweep_snapshots(connection) == 1
    assert sweep_snapshots(connection) == 0
    assert old is not None
    assert new is not None
    assert load_page(connection, "papers", new, 5).documents
    with pytest.raises(CursorExpiredError):
        load_page(connection, "papers", old, 5)


def test_a_cursor_is_good_for_its_own_collection_alone(connection: Connection) -> None:
    generation = fill(connection)
    fill(connection, collection="letters")
    cursor = save_snapshot(connection, generation, REQUEST, everything(connection), shown=10)
    assert cursor is not None
    with pytest.raises(CursorExpiredError):
        load_page(connection, "letters", cursor, 5)


def test_the_list_of_a_dropped_collection_is_not_read(connection: Connection) -> None:
    generation = fill(connection)
    cursor = save_snapshot(connection, generation, REQUEST, everything(connection), shown=10)
    connection.execute("SELECT rankgres.collection_drop_v2('papers')")
    fill(connection)
    assert cursor is not None
    with pytest.raises(CursorExpiredError):
        load_page(connection, "papers", cursor, 5)


@pytest.mark.parametrize(
    "cursor",
    [
        "", "a", "next", "A" * 26, "A" * 28, "A" * 21 + "_" * 6, "ä" * 27, "A" * 26 + "+",
        "A" * 26 + "=", "A" * 26 + "\x00", "A" * 26 + "\n",
    ],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(connection: Connection, cursor: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        load_page(connection, "papers", cursor, 5)
    assert (raised.value.field, raised.value.value) == ("cursor", cursor)
    assert raised.value.mend == "pass next_cursor of a search's answer as it is"


def test_a_cursor_past_the_end_has_an_empty_page(connection: Connection) -> None:
    generation = fill(connection, 3)
    cursor = save_snapshot(connection, generation, REQUEST, everything(connection), shown=2)
    assert cursor is not None
    [page] = read_all(connection, cursor, 50)
    connection.execute("UPDATE rankgres.search_snapshot SET ranking = %s", [Jsonb([])])
    empty = load_page(connection, "papers", cursor, 50)
    assert len(page.documents) == 1
    assert (empty.documents, empty.next_cursor) == ([], None)


def test_a_list_is_read_from_any_connection_once_it_is_committed(pool: Pool) -> None:
    with transaction(pool) as connection:
        generation = fill(connection)
        documents = everything(connection)
        cursor = save_snapshot(connection, generation, REQUEST, documents, shown=20)
    assert cursor is not None
    with transaction(pool) as connection:
        page = load_page(connection, "papers", cursor, 10)
    assert page.documents == documents[20:]


def test_the_janitor_sweeps_what_has_expired(newest_database_url: str) -> None:
    with connect(newest_database_url) as connection:
        generation = fill(connection)
        documents = everything(connection)
        save_snapshot(connection, generation, REQUEST, documents, shown=10, seconds=-1)
        kept = save_snapshot(connection, generation, REQUEST, documents, shown=10)
        connection.commit()
        sweep_search_snapshots(newest_database_url)
        assert value(connection, "SELECT count(*) FROM rankgres.search_snapshot") == 1
        assert kept is not None
        assert load_page(connection, "papers", kept, 5).documents
