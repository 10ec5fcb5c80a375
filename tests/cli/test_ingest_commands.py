import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from service.db.connection import connect
from tests.cli.conftest import Run, found, shown
from tests.support.stack import RealStack

ROWS = [
    {"_id": "w1", "title": "Walrus", "text": "It rests on the ice.", "sea": "north"},
    {"_id": "p1", "title": "Penguin", "text": "It dives for krill.", "sea": "south"},
]


def json_lines() -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def comma_separated() -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(ROWS[0]))
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


def parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), buffer)
    return buffer.getvalue()


FORMATS: dict[str, Callable[[], bytes]] = {
    "a.jsonl": json_lines,
    "a.csv": comma_separated,
    "a.jsonl.gz": lambda: gzip.compress(json_lines()),
    "a.csv.zst": lambda: zstandard.ZstdCompressor().compress(comma_separated()),
    "a.parquet": parquet,
}


@pytest.mark.parametrize("file", FORMATS)
def test_a_file_of_any_format_can_be_searched_when_the_command_ends(
    run: Run, http: httpx.Client, collection: str, tmp_path: Path, file: str
) -> None:
    (tmp_path / file).write_bytes(FORMATS[file]())
    done = run("ingest", collection, file)
    assert done.returncode == 0, done.stderr
    assert "2 documents read, 2 new or changed\n" in done.stdout
    assert "2 documents, 2 chunks are searchable" in done.stdout
    assert found(http, collection, "krill") == ["p1"]
    assert found(http, collection, "walrus", sea="south") == []
    assert found(http, collection, "walrus", sea="north") == ["w1"]
    assert not list(tmp_path.glob("*.rejects.jsonl"))


def test_a_folder_of_text_and_markdown_is_read_with_relative_paths_as_ids(
    run: Run, http: httpx.Client, collection: str, tmp_path: Path
) -> None:
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / "notes" / "walrus.md").write_text("# Tusks\n\nA walrus has tusks.\n")
    (tmp_path / "notes" / "deep" / "krill.txt").write_text("Krill drift in swarms.\n")
    (tmp_path / "notes" / "picture.png").write_bytes(b"\x89PNG")
    done = run("ingest", collection, "notes")
    assert done.returncode == 0, done.stderr
    assert shown(http, collection)["documents"] == 2
    assert found(http, collection, "swarms") == ["deep/krill.txt"]
    assert found(http, collection, "tusks") == ["walrus.md"]


def test_standard_input_is_read_as_json_lines(
    run: Run, http: httpx.Client, collection: str
) -> None:
    done = run("ingest", collection, "-", stdin=json_lines().decode())
    assert done.returncode == 0, done.stderr
    assert found(http, collection, "krill") == ["p1"]


def test_bad_lines_are_put_aside_with_their_numbers_and_the_rest_is_there(
    run: Run, http: httpx.Client, collection: str, tmp_path: Path
) -> None:
    good, other = json_lines().splitlines()
    lines = [good, b"{not json", b'{"_id": "x"}', other, b'{"_id": "n", "text": "a\\u0000"}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    done = run("ingest", collection, "a.jsonl")
    assert done.returncode == 1
    assert "2 documents read, 2 new or changed" in done.stdout
    assert f"3 bad lines are in {collection}.rejects.jsonl" in done.stderr
    rejects = [
        json.loads(line)
        for line in (tmp_path / f"{collection}.rejects.jsonl").read_text().splitlines()
    ]
    assert [(reject["source"], reject["line"]) for reject in rejects] == [
        ("a.jsonl", 2),
        ("a.jsonl", 3),
        ("a.jsonl", 5),
    ]
    assert rejects[0]["raw"] == "{not json"
    assert all(reject["reason"] for reject in rejects)
    assert shown(http, collection)["documents"] == 2


def test_the_reject_file_can_be_named(run: Run, collection: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("nothing\n")
    done = run("ingest", collection, "a.jsonl", "--rejects", "aside.jsonl")
    assert done.returncode == 1
    assert json.loads((tmp_path / "aside.jsonl").read_text())["line"] == 1


def test_loading_the_same_file_again_changes_nothing(
    run: Run, http: httpx.Client, collection: str, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_bytes(json_lines())
    run("ingest", collection, "a.jsonl")
    before = shown(http, collection)
    again = run("ingest", collection, "a.jsonl")
    assert again.returncode == 0
    assert "2 documents read, 0 new or changed" in again.stdout
    # The rate is that of the first time, and falls as time goes by.
    assert shown(http, collection) | {"rate": before["rate"]} == before


def test_fields_of_other_names_are_read_when_named(
    run: Run, http: httpx.Client, collection: str, tmp_path: Path
) -> None:
    row = {"key": 7, "headline": "Walrus", "abstract": "It rests.", "text": "other"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    fields = ["--id-field", "key", "--title-field", "headline", "--text-field", "abstract"]
    done = run("ingest", collection, "a.jsonl", *fields)
    assert done.returncode == 0, done.stderr
    assert found(http, collection, "rests") == ["7"]
    assert found(http, collection, "other") == []


def test_without_waiting_the_command_ends_at_once_and_wait_waits(
    run: Run, collection: str, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_bytes(json_lines())
    done = run("ingest", collection, "a.jsonl", "--no-wait")
    assert done.returncode == 0
    assert "searchable" not in done.stdout
    waited = run("wait", collection, "--timeout", "60")
    assert waited.returncode == 0, waited.stderr
    assert "2 documents, 2 chunks are searchable" in waited.stdout


def test_wait_gives_up_at_its_timeout_and_says_what_still_waits(
    run: Run, http: httpx.Client, collection: str, stack: RealStack
) -> None:
    with stack.paused("worker-embed"):
        documents = [{"id": "a", "text": "walrus"}]
        http.post(f"/collections/{collection}/documents", json={"documents": documents})
        waited = run("wait", collection, "--timeout", "0.1")
    assert waited.returncode == 1
    assert "1 documents still wait" in waited.stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["ingest", "nope", "a.jsonl"], "there is no collection 'nope'"),
        (["ingest", "{name}", "missing.jsonl"], "missing.jsonl does not exist"),
        (["ingest", "{name}", "a.docx"], "the format '.docx' is not known"),
        (["ingest", "{name}", "a.jsonl", "--text-field", "b"], "has no field 'b'; it has: _id"),
        (["wait", "nope"], "there is no collection 'nope'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_loaded_is_an_error(
    run: Run, collection: str, tmp_path: Path, arguments: list[str], error: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(json_lines())
    (tmp_path / "a.docx").write_bytes(b"")
    done = run(*(argument.format(name=collection) for argument in arguments))
    assert done.returncode == 2
    first = done.stderr.splitlines()[0]
    assert first.startswith("error: ")
    assert error in first


def test_chunks_longer_than_the_model_reads_are_a_warning(
    run: Run, stack: RealStack, collection: str
) -> None:
    lines = '{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n'
    loaded = run("ingest", collection, "-", stdin=lines)
    assert "warning" not in loaded.stderr
    with connect(stack.record.database_url) as connection:
        connection.execute(
            "UPDATE rankgres.chunk SET token_count = 999 WHERE document_id = 'a' AND generation_id "
            "IN (SELECT id FROM rankgres.generation WHERE collection_id = "
            "(SELECT id FROM rankgres.collection WHERE name = %s))",
            [collection],
        )
        connection.commit()
    for again in (
        run("ingest", collection, "-", stdin=lines),
        run("collection", "show", collection),
    ):
        assert again.returncode == 0, again.stderr
        assert "1 of 2 chunks (50.0%) are longer than the 256 tokens" in again.stderr
