from service.db.connection import Connection
from tests.support.collections import chunk, make_collection, replace_chunks
from workers.training.weak_labels import StoredChunk, WeakLabels, last_part, weak_queries

LONG = (
    "The valve opens when the pressure in the chamber falls below that of the pipe, and lets "
    "the fluid in until both are the same again."
)


def queries(heading: str, text: str, formal: set[str] | None = None) -> list[tuple[str, str]]:
    """Return each query with the passage that it is to find."""
    found = weak_queries(StoredChunk("d", 3, heading, text), formal or set())
    return [(query.text, query.known["d"].text) for query in found]


def test_a_heading_asks_for_its_passage_without_headings() -> None:
    [query] = weak_queries(StoredChunk("d", 3, "Pumps > How a valve opens", LONG), set())
    assert query.text == "How a valve opens"
    assert (query.known["d"].position, query.known["d"].text) == (3, LONG)
    assert query.grades == {"d": 1.0}
    assert not query.with_headings


def test_a_question_asks_for_what_stands_around_it() -> None:
    text = f"{LONG} Why does it close again? Because a spring pushes it back."
    assert queries("", text) == [
        ("Why does it close again?", f"{LONG}  Because a spring pushes it back.")
    ]


def test_headings_that_ask_for_nothing_are_left_out() -> None:
    assert queries("Pumps > Summary", LONG) == []  # one word
    assert queries("Pumps > Key terms", LONG, {"key terms"}) == []
    assert queries("Pumps > How a valve that is\u2026", LONG) == []  # cut
    assert queries("How a valve opens", "Too short to say.") == []


def test_a_question_alone_has_no_passage() -> None:
    assert queries("", "What is a valve? Say it in your own words.") == []


def test_the_last_part_of_a_path_is_the_heading() -> None:
    assert last_part("Book > Chapter > Part") == "Part"
    assert last_part("Title") == "Title"
    assert last_part("") == ""


def test_the_weak_labels_of_a_collection(connection: Connection) -> None:
    generation = make_collection(connection)
    chunks = [
        chunk("a", LONG, heading="Pumps > How a valve opens"),
        chunk("a", LONG, position=1, heading="Pumps > Further reading"),
        chunk("b", LONG, heading="Engines > Further reading"),
        chunk("c", LONG, heading="Boats > Further reading"),
        chunk("c", f"{LONG} Who steers the boat?", position=1, heading="Boats"),
    ]
    replace_chunks(connection, generation, chunks)
    found = {query.text: query for query in WeakLabels(connection, generation, 100).read()}
    # "Further reading" stands in three documents; "Boats" is one word.
    assert set(found) == {"How a valve opens", "Who steers the boat?"}
    assert found["Who steers the boat?"].known["c"].position == 1
    assert len(list(WeakLabels(connection, generation, 1).read())) == 1
    again = [query.text for query in WeakLabels(connection, generation, 100).read()]
    assert again == list(found)
