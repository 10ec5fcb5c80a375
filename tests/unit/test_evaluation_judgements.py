import json
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import InvalidInputError
from service.evaluation.judgements import read_judgements, read_qrels, read_queries

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def queries_file(write: Write, *identifiers: str) -> Path:
    lines = [json.dumps({"_id": name, "text": f"text of {name}"}) for name in identifiers]
    return write("queries.jsonl", "\n".join(lines) + "\n")


def test_queries_keep_the_order_of_their_file(write: Write) -> None:
    texts = read_queries(queries_file(write, "b", "a", "c"))
    assert list(texts) == ["b", "a", "c"]
    assert texts["a"] == "text of a"


def test_query_ids_written_as_numbers_are_read_as_text(write: Write) -> None:
    assert read_queries(write("q", '{"_id": 7, "text": "seven", "metadata": {}}')) == {"7": "seven"}


def test_a_byte_order_mark_is_no_part_of_the_first_line(write: Write) -> None:
    assert read_queries(write("q", '\ufeff{"_id": "a", "text": "b"}')) == {"a": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td1\t1\n",  # BEIR
        "q1\td1\t2\nq1\td2\t0\nq2\td1\t1\n",  # BEIR without its header
        "q1 0 d1 2\nq1 0 d2 0\n\nq2 0 d1 1\n",  # TREC
        "q1\t0\td1\t2\r\nq1\t0\td2\t0\r\nq2\t0\td1\t1\r\n",  # TREC with tabs, from Windows
    ],
)
def test_qrels_of_every_form_read_the_same(write: Write, text: str) -> None:
    assert read_qrels(write("qrels.tsv", text)) == {"q1": {"d1": 2, "d2": 0}, "q2": {"d1": 1}}


def test_a_document_id_with_a_space_survives_tabs(write: Write) -> None:
    assert read_qrels(write("qrels.tsv", "q1\tguide to Postgres\t1\n")) == {
        "q1": {"guide to Postgres": 1}
    }


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ('{"_id": "a", "text": "x"}\n{"_id": "b"', "queries", "line 2: not JSON"),
        ("[1]", "queries", "line 1: not a JSON object"),
        ('{"_id": "a"}', "text", "line 1: the field 'text' is missing"),
        ('{"_id": "a", "text": " "}', "text", "line 1: the field 'text' must be text"),
        ('{"text": "x"}', "_id", "line 1: the field '_id' is missing"),
        ('{"_id": true, "text": "x"}', "_id", "line 1: the field '_id' must be text"),
        ('{"_id": "a", "text": "x"}\n\n{"_id": "a", "text": "y"}', "_id", "line 3: the query 'a'"),
    ],
)
def test_a_bad_query_names_file_line_field_and_mend(
    write: Write, text: str, field: str, said: str
) -> None:
    path = write("queries.jsonl", text)
    with pytest.raises(InvalidInputError) as caught:
        read_queries(path)
    assert f"{path}, {said}" in caught.value.detail
    assert caught.value.field == field
    assert caught.value.mend


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("q1\td1\n", "qrels", "line 1: 2 columns"),
        ("query-id\tcorpus-id\tscore\nq1\td1\thigh\n", "score", "line 2: the score 'high'"),
        ("q1\td1\t0.5\n", "score", "line 1: the score '0.5'"),
        ("q1\t\t1\n", "corpus-id", "line 1: the field 'corpus-id' is blank"),
        ("q1\td1\t1\nq1\td1\t0\n", "score", "line 2: query 'q1' judges document 'd1' 0 here"),
    ],
)
def test_a_bad_judgement_names_file_line_field_and_mend(
    write: Write, text: str, field: str, said: str
) -> None:
    path = write("qrels.tsv", text)
    with pytest.raises(InvalidInputError) as caught:
        read_qrels(path)
    assert f"{path}, {said}" in caught.value.detail
    assert caught.value.field == field
    assert caught.value.mend


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"cannot read .*nowhere\.tsv") as caught:
        read_qrels(tmp_path / "nowhere.tsv")
    assert caught.value.field == "qrels"


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_bytes(b'{"_id": "a", "text": "caf\xe9"}')
    with pytest.raises(InvalidInputError, match="not UTF-8"):
        read_queries(path)


def test_queries_without_a_relevant_document_are_left_out_and_counted(write: Write) -> None:
    queries = queries_file(write, "judged", "irrelevant", "unjudged")
    qrels = write(
        "qrels.tsv", "judged\td1\t1\njudged\td2\t0\nirrelevant\td1\t0\nelsewhere\td1\t1\n"
    )
    judgements = read_judgements(queries, qrels)
    assert judgements.queries == {"judged": "text of judged"}
    assert judgements.relevance == {"judged": {"d1": 1, "d2": 0}}
    assert (judgements.unjudged, judgements.unasked) == (2, 1)


def test_limit_keeps_the_first_judged_queries(write: Write) -> None:
    queries = queries_file(write, "unjudged", "first", "second", "third")
    qrels = write("qrels.tsv", "third\td\t1\nsecond\td\t1\nfirst\td\t1\n")
    judgements = read_judgements(queries, qrels, limit=2)
    assert list(judgements.queries) == ["first", "second"]
    assert set(judgements.relevance) == {"first", "second"}
    assert judgements.unjudged == 1


def test_files_of_two_different_sets_are_refused(write: Write) -> None:
    queries = queries_file(write, "q1")
    with pytest.raises(InvalidInputError, match="no query of") as caught:
        read_judgements(queries, write("qrels.tsv", "other\td1\t1\n"))
    assert caught.value.field == "qrels"
