"""Reading files: every format, every kind of bad line, and files that cannot be read at all."""

import csv
import datetime as dt
import gzip
import importlib
import io
import json
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import zstandard

from service.errors import InvalidInputError
from service.ingest import byte_streams
from service.ingest.files import Fields, Record, RecordReader, Reject, read_records

# Imported by name, because pyarrow has no types.
pa: Any = importlib.import_module("pyarrow")
pq: Any = importlib.import_module("pyarrow.parquet")

ROWS: list[dict[str, Any]] = [
    {"_id": "a", "title": "Leases", "text": "A lease expires.", "year": 2020},
    {"_id": "b", "title": "", "text": "Zwölf Boxkämpfer 日本", "year": None},
]


def read(path: Path, **fields: str) -> list[Record | Reject]:
    return list(read_records([path], Fields(**fields)))


def write(path: Path, data: bytes) -> Path:
    packed = {
        ".gz": gzip.compress,
        ".zst": lambda plain: zstandard.ZstdCompressor().compress(plain),
    }
    path.write_bytes(packed.get(path.suffix, bytes)(data))
    return path


def json_lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def only_reject(path: Path, data: bytes, **fields: str) -> Reject:
    """Read a file of one bad line between two good ones; return its reject."""
    good = json_lines({"id": 1, "text": "good"})
    found = read(write(path, good + data + b"\n" + good), **fields)
    assert isinstance(found[0], Record)
    assert isinstance(found[-1], Record)
    (reject,) = found[1:-1]
    assert isinstance(reject, Reject)
    assert (reject.source, reject.line) == (str(path), 2)
    return reject


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", [".jsonl", ".ndjson", ".csv", ".tsv", ".parquet"])
def test_every_format_gives_the_same_records(tmp_path: Path, kind: str, suffix: str) -> None:
    if kind == ".parquet":
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(ROWS), buffer)
        data = buffer.getvalue()
    elif kind in {".csv", ".tsv"}:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(ROWS[0]), delimiter="\t" if kind == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(ROWS)
        data = text.getvalue().encode()
    else:
        data = json_lines(*ROWS)
    path = write(tmp_path / f"file{kind}{suffix}", data)
    records = [record for record in read(path) if isinstance(record, Record)]
    assert [(r.id, r.title, r.text) for r in records] == [
        ("a", "Leases", "A lease expires."),
        ("b", "", "Zwölf Boxkämpfer 日本"),
    ]
    year = "2020" if kind in {".csv", ".tsv"} else 2020
    assert records[0].metadata == {"year": year}
    first = 2 if kind in {".csv", ".tsv"} else 1
    assert [record.line for record in records] == [first, first + 1]
    assert {record.source for record in records} == {str(path)}


def test_fields_are_found_by_their_usual_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json_lines({"id": 7, "body": "b", "content": "c"}))
    (record,) = read(path)
    assert isinstance(record, Record)
    assert (record.id, record.text, record.metadata) == ("7", "b", {"content": "c"})


def test_named_fields_are_used_and_the_usual_ones_become_metadata(tmp_path: Path) -> None:
    row = {"id": 1, "key": "k", "text": "t", "abstract": "a", "name": "n"}
    path = write(tmp_path / "a.jsonl", json_lines(row))
    (record,) = read(path, id="key", title="name", text="abstract")
    assert record == Record(1, str(path), "k", "n", "a", {"id": 1, "text": "t"})


def test_beir_metadata_is_merged_and_the_records_own_fields_win(tmp_path: Path) -> None:
    row = {"_id": "1", "text": "t", "metadata": {"year": 1, "url": "u"}, "year": 2}
    (record,) = read(write(tmp_path / "a.jsonl", json_lines(row)))
    assert isinstance(record, Record)
    assert record.metadata == {"year": 2, "url": "u"}


def test_metadata_that_is_no_object_stays_a_field(tmp_path: Path) -> None:
    (record,) = read(write(tmp_path / "a.jsonl", json_lines({"id": 1, "text": "t", "metadata": 3})))
    assert isinstance(record, Record)
    assert record.metadata == {"metadata": 3}


def test_an_empty_text_is_taken_where_there_is_a_title(tmp_path: Path) -> None:
    (record,) = read(write(tmp_path / "a.jsonl", json_lines({"id": 1, "title": "T", "text": ""})))
    assert isinstance(record, Record)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "t"}', "_id: missing"),
        (b'{"id": "", "text": "t"}', "id: empty"),
        (b'{"id": null, "text": "t"}', "id: None is null"),
        (b'{"id": true, "text": "t"}', "id: True is a boolean"),
        (b'{"id": 1.5, "text": "t"}', "id: 1.5 is a number"),
        (b'{"id": "' + b"x" * 1025 + b'", "text": "t"}', "longer than 1,024 bytes"),
        (b'{"id": 1}', "text: missing"),
        (b'{"id": 1, "text": null}', "text: missing"),
        (b'{"id": 1, "text": 5}', "text: 5 is a number; make it a string"),
        (b'{"id": 1, "text": ["t"]}', "text: ['t'] is a list"),
        (b'{"id": 1, "text": " "}', "text: empty, and so is the title"),
        (b'{"id": 1, "text": "t", "title": {}}', "title: {} is an object"),
        (b'{"id": 1, "text": "a\\u0000b"}', r"text: 'a\x00b' has a NUL character"),
        (b'{"id": "a\\u0000", "text": "t"}', "id: "),
        (b'{"id": 1, "text": "a\\ud800b"}', r"text: 'a\ud800b' has half a surrogate pair"),
        (b'{"id": 1, "text": "t", "k": {"x": ["\\u0000"]}}', "k.x[0]: "),
        (b'{"id": 1, "text": "t", "k\\u0000": 1}', "field name: "),
        (b'{"id": 1, "text": "t", "k": NaN}', "NaN is no JSON number"),
        (b'{"id": 1, "text": "t", "k": -Infinity}', "-Infinity is no JSON number"),
        (b'{"id": 1, "text": "t", "k": 1e999}', "k: inf is no JSON number"),
        (b'{"id": 1, "text": "t", "k": ' + b"9" * 5000 + b"}", "a number too long"),
        (b'{"id": 1, "text": "t", "k": ' + b"[" * 200 + b"]" * 200 + b"}", "nested too deep"),
        (b'{"id": 1, "text": ' + b"[" * 99_999, "brackets too deep"),
        (b'{"id": 1, "text": "t", "id": 2}', "id: stands twice"),
        (b'{"id": 1, "text": "t", "k": {"x": 1, "x": 2}}', "x: stands twice"),
        (b'{"id": 1, "text": "t"', "no JSON: Expecting"),
        (b'{"id": 1, "text": "t"} x', "no JSON: Extra data at character 24"),
        (b'[1, "t"]', "no JSON object"),
        (b'{"id": 1, "text": "\xff"}', "not UTF-8: byte 0xff at position 20"),
    ],
)
def test_a_bad_line_is_rejected_with_its_reason_and_the_rest_goes_on(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    reject = only_reject(tmp_path / "a.jsonl", line)
    assert reason in reject.reason
    assert len(reject.reason) < 250
    assert reject.raw == line.decode(errors="backslashreplace")


def test_an_overlong_line_is_rejected_and_kept_only_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_streams, "MAX_LINE_BYTES", 5000)
    line = json_lines({"id": 1, "text": "x" * 20_000}).strip()
    reject = only_reject(tmp_path / "a.jsonl", line)
    assert reject.reason.startswith("longer than 5,000 bytes")
    assert reject.raw == line[:1000].decode()


def test_a_byte_order_mark_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf" + json_lines({"id": 1, "text": "t"}) + b"\n  \r\n"
    records = read(write(tmp_path / "a.jsonl", data + json_lines({"id": 2, "text": "t"})))
    assert [(record.line, type(record)) for record in records] == [(1, Record), (4, Record)]


def test_a_named_field_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json_lines({"key": 1, "text": "t"}))
    with pytest.raises(InvalidInputError, match="has no field 'id'; it has: key, text") as raised:
        read(path, id="id")
    assert raised.value.field == "id_field"


def test_a_file_whose_first_records_all_lack_a_text_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json_lines(*[{"id": 1, "abstract": "t"}] * 30))
    with pytest.raises(InvalidInputError, match="text or body or content; it has: abstract, id"):
        read(path)


def test_csv_rows_may_span_lines_and_keep_their_line_number(tmp_path: Path) -> None:
    data = b'id,text,tag\r\n1,"two\nlines, ""quoted""",x\r\n2,plain,y\r\n'
    one, two = read(write(tmp_path / "a.csv", data))
    assert isinstance(one, Record)
    assert (one.text, one.line) == ('two\nlines, "quoted"', 2)
    assert (two.line, type(two)) == (4, Record)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"9,too,many,cells", "4 cells and the header 3"),
        (b"9,few", "2 cells and the header 3"),
        (b"9,\xff,x", "not UTF-8: byte 0xff at position 3"),
        (b'9,"a"b,x', "expected after"),
        (b"9,a\0b,x", "text: "),
        (b",a,x", "id: empty"),
    ],
)
def test_a_bad_csv_row_is_rejected_and_the_rest_goes_on(
    tmp_path: Path, row: bytes, reason: str
) -> None:
    found = read(write(tmp_path / "a.csv", b"id,text,tag\n1,a,b\n" + row + b"\n2,c,d\n"))
    assert [type(record) for record in found] == [Record, Reject, Record]
    reject = found[1]
    assert isinstance(reject, Reject)
    assert reason in reject.reason
    assert reject.line == 3
    assert reject.raw == row.decode(errors="backslashreplace")


def test_an_unclosed_quote_is_rejected(tmp_path: Path) -> None:
    record, reject = read(write(tmp_path / "a.csv", b'id,text\n1,a\n2,"never\nclosed\n'))
    assert isinstance(record, Record)
    assert isinstance(reject, Reject)
    assert (reject.line, reject.raw) == (3, '2,"never\nclosed')


@pytest.mark.parametrize("header", [b"", b"id,id,text\n", b"a,b\n1,2\n", b'"id,text\n'])
def test_a_csv_without_a_usable_header_is_refused(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(InvalidInputError):
        read(write(tmp_path / "a.csv", header))


def test_parquet_times_and_exact_numbers_become_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    row = {"id": 1, "text": "t", "day": dt.date(2020, 1, 2), "tags": ["x"], "at": {"x": 1}}
    pq.write_table(pa.Table.from_pylist([row]), path)
    (record,) = read(path)
    assert isinstance(record, Record)
    assert record.metadata == {"day": "2020-01-02", "tags": ["x"], "at": {"x": 1}}


def test_a_parquet_row_with_binary_data_or_broken_text_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    text = pa.Array.from_buffers(
        pa.string(), 3, pa.array([b"ok", b"\xff", b"ok"], pa.binary()).buffers()
    )
    blob = pa.array([None, None, b"\x00"], pa.binary())
    pq.write_table(pa.table({"id": ["a", "b", "c"], "text": text, "blob": blob}), path)
    found = read(path)
    assert [type(row) for row in found] == [Record, Reject, Reject]
    assert [row.reason.split(";")[0] for row in found if isinstance(row, Reject)] == [
        "not UTF-8: byte 0xff at position 1",
        "blob: b'\\x00' is binary data, which JSON cannot hold",
    ]


def test_parquet_without_pyarrow_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InvalidInputError) as raised:
        read(write(tmp_path / "a.parquet", b"PAR1"))
    assert raised.value.mend == "pip install 'rankgres[parquet]'"


def test_a_folder_gives_its_text_files_sorted_with_the_first_heading_as_title(
    tmp_path: Path,
) -> None:
    (tmp_path / "sub" / ".hidden").mkdir(parents=True)
    (tmp_path / "sub" / "b.md").write_text("```\n# code\n```\n# The *title*\n\n## Not this\n")
    (tmp_path / "sub" / ".hidden" / "x.md").write_text("hidden")
    (tmp_path / "a.rst").write_text("Title\n=====\n\nText.\n")
    (tmp_path / "c.txt").write_text("No heading here.")
    (tmp_path / "d.png").write_bytes(b"\x89PNG")
    (tmp_path / "e.txt").write_bytes(b"\xff")
    (tmp_path / "f.txt").write_text("\n")
    found = read(tmp_path)
    assert [(r.id, r.title) for r in found if isinstance(r, Record)] == [
        ("a.rst", "Title"),
        ("c.txt", "c"),
        ("sub/b.md", "The *title*"),
    ]
    assert [Path(r.source).name for r in found if isinstance(r, Reject)] == ["e.txt", "f.txt"]


def test_standard_input_is_read_as_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.TextIOWrapper(io.BytesIO(json_lines(*ROWS)))
    monkeypatch.setattr(sys, "stdin", data)
    reader = RecordReader([Path("-")], Fields())
    assert reader.bytes_total is None
    assert [record.source for record in reader] == ["standard input"] * 2


@pytest.mark.parametrize("name", ["missing.jsonl", "notes.docx", "README", "a.gz", "empty"])
def test_what_cannot_be_read_is_refused_before_anything_is_read(tmp_path: Path, name: str) -> None:
    good = write(tmp_path / "good.jsonl", json_lines(*ROWS))
    (tmp_path / "empty").mkdir()
    for present in ("notes.docx", "README", "a.gz"):
        (tmp_path / present).write_bytes(b"x")
    with pytest.raises(InvalidInputError) as raised:
        RecordReader([good, tmp_path / name], Fields())
    assert raised.value.value == str(tmp_path / name)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("damage", ["truncated", "garbage"])
def test_a_damaged_file_is_an_error_after_what_could_be_read(
    tmp_path: Path, suffix: str, damage: str
) -> None:
    lines = json_lines(*[{"id": i, "text": str(i * 7919 % 10_007)} for i in range(20_000)])
    path = write(tmp_path / f"a.jsonl{suffix}", lines)
    whole = path.read_bytes()
    path.write_bytes(whole[:-200] if damage == "truncated" else b"not compressed")
    records = read_records([path], Fields())
    with pytest.raises(InvalidInputError, match="cannot be read"):
        for _ in records:
            pass


def test_zstd_frames_that_follow_each_other_are_all_read(tmp_path: Path) -> None:
    frames = [zstandard.ZstdCompressor().compress(json_lines(row)) for row in ROWS]
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(b"".join(frames))
    assert [r.id for r in read(path) if isinstance(r, Record)] == ["a", "b"]


def test_parquet_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="Parquet"):
        read(write(tmp_path / "a.parquet", b"x" * 100))


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_progress_counts_compressed_bytes_up_to_the_total(tmp_path: Path, suffix: str) -> None:
    rows = json_lines(*[{"id": i, "text": f"{i * 7919 % 10_007} words"} for i in range(20_000)])
    paths = [write(tmp_path / f"{name}.jsonl{suffix}", rows) for name in "ab"]
    reader = RecordReader(paths, Fields())
    seen = {reader.bytes_read}
    for _ in reader:
        seen.add(reader.bytes_read)
    assert reader.bytes_total == sum(path.stat().st_size for path in paths)
    assert (min(seen), max(seen)) == (0, reader.bytes_total)
    assert len(seen) > 4


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for number in range(100):
            file.write(
                json_lines(*[{"id": f"{number}-{i}", "text": "x" * 990} for i in range(100)])
            )
    tracemalloc.start()
    count = sum(1 for _ in read_records([path], Fields()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 10_000
    assert peak < 2_000_000
