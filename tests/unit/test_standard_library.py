"""The demo's documents: the docstrings and topics of the Python that runs the tests."""

import sys
import warnings
from collections import Counter

import pytest

from service.demo.standard_library import standard_library_documents
from service.ingest.records import Record
from service.storable import MAX_ID_BYTES


@pytest.fixture(scope="module")
def documents() -> dict[str, Record]:
    return {record.id: record for record in standard_library_documents()}


@pytest.mark.parametrize(
    ("name", "kind", "title", "words"),
    [
        ("subprocess.run", "function", "subprocess.run(*popenargs, input=None", "timeout"),
        ("subprocess.Popen.communicate", "method", "subprocess.Popen.communicate(input=", "stdin"),
        ("subprocess", "module", "subprocess", "processes"),
        ("asyncio.wait_for", "function", "asyncio.wait_for(fut, timeout)", "timeout"),
        ("os.path.exists", "function", "os.path.exists(path)", "path"),
        ("os.path.join", "function", "os.path.join(a, *p)", "pathname"),
        ("pathlib.Path.mkdir", "method", "pathlib.Path.mkdir(mode=", "directory"),
        ("math.sqrt", "function", "math.sqrt(x, /)", "square root"),
        ("str.split", "method", "str.split(sep=None, maxsplit=-1)", "substrings"),
        ("print", "function", "print(*args", "stream"),
        ("socket.socket.connect", "method", "socket.socket.connect", "address"),
        ("collections.deque", "class", "collections.deque", "list-like"),
    ],
)
def test_what_a_newcomer_looks_for_is_there(
    documents: dict[str, Record], name: str, kind: str, title: str, words: str
) -> None:
    record = documents[name]
    assert record.metadata["kind"] == kind
    assert record.title.startswith(title)
    assert words in record.text


def test_there_are_thousands_of_documents_of_every_kind(documents: dict[str, Record]) -> None:
    kinds = Counter(record.metadata["kind"] for record in documents.values())
    assert sum(kinds.values()) > 5000
    assert {"module", "class", "function", "method", "attribute"} <= set(kinds)


def test_language_topics_are_titled_by_their_heading(documents: dict[str, Record]) -> None:
    pytest.importorskip("pydoc_data.topics", reason="Debian may leave it out")
    assert documents["topic:with"].title == 'The "with" statement'
    assert documents["topic:with"].metadata == {"kind": "topic", "module": "pydoc"}


def test_private_names_tests_and_other_packages_are_left_out(
    documents: dict[str, Record],
) -> None:
    modules = {record.metadata["module"] for record in documents.values()}
    first_parts = {module.partition(".")[0] for module in modules} - {"pydoc"}
    assert first_parts <= sys.stdlib_module_names
    assert not first_parts & {"test", "idlelib", "this", "antigravity", "turtledemo"}
    parts = {part for name in documents for part in name.removeprefix("topic:").split(".")}
    assert not [part for part in parts if part.startswith("_") and not part.endswith("__")]


def test_texts_are_storable_and_come_once(documents: dict[str, Record]) -> None:
    texts = [record.text for record in documents.values()]
    assert len(set(texts)) == len(texts)
    assert min(map(len, texts)) >= 20
    assert not [text for text in texts if "\0" in text or text != text.encode().decode()]
    assert max(len(name.encode()) for name in documents) < MAX_ID_BYTES
    assert max(len(record.title) for record in documents.values()) < 300


def test_a_second_run_gives_the_same_and_prints_and_warns_of_nothing(
    documents: dict[str, Record], capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        again = list(standard_library_documents())
    assert again == list(documents.values())
    assert not seen
    assert capfd.readouterr() == ("", "")
