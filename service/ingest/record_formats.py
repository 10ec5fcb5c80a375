"""Record formats: turns the bytes of one file into records, and what is none into rejects."""

import csv
import datetime as dt
import decimal
import importlib
import itertools
import json
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final

from service.errors import InvalidInputError
from service.ingest import byte_streams
from service.ingest.byte_streams import bounded_lines
from service.ingest.document_structure import outline
from service.ingest.records import (
    Fields,
    Record,
    Reject,
    UnreadableError,
    build_record,
    require_fields,
    require_named_fields,
)
from service.storable import UnstorableError

#: Records looked at before a field that none of them has is taken for a mistake.
_FIRST_RECORDS: Final = 20
_PARQUET_ROWS: Final = 256
_RAW_OF_OVERLONG: Final = 1000


def read_json_lines(stream: BinaryIO, fields: Fields, source: str) -> Iterator[Record | Reject]:
    """Yield a record or a reject for every line of a JSONL stream that is not blank.

    Raises:
        InvalidInputError: none of the first records has a field that was named or is needed.
    """
    objects = _json_objects(stream, source)
    first = list(itertools.islice(objects, _FIRST_RECORDS))
    found = [values for _, _, values in first if not isinstance(values, Reject)]
    names = {name for values in found for name in values}
    if len(found) == _FIRST_RECORDS:
        require_fields(names, fields, source)
    elif found:
        require_named_fields(names, fields, source)
    for line, raw, values in itertools.chain(first, objects):
        if isinstance(values, Reject):
            yield values
        else:
            yield _record_or_reject(values, fields, source, line, raw)


def _json_objects(
    stream: BinaryIO, source: str
) -> Iterator[tuple[int, str, dict[str, Any] | Reject]]:
    """Yield line number, the line, and the object it holds or the reject."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
    for line, data in enumerate(bounded_lines(stream), start=1):
        if data.isspace():
            continue
        raw = _raw(data)
        try:
            values = _json_object(decoder, data)
        except UnreadableError as error:
            yield line, raw, Reject(source, line, str(error), raw)
        except json.JSONDecodeError as error:
            reason = f"the line is no JSON: {error.msg} at character {error.pos + 1}; mend it"
            yield line, raw, Reject(source, line, reason, raw)
        except (ValueError, RecursionError) as error:
            what = "brackets too deep" if isinstance(error, RecursionError) else "a number too long"
            yield line, raw, Reject(source, line, f"the line has {what}; make it a string", raw)
        else:
            yield line, raw, values


def _json_object(decoder: json.JSONDecoder, data: bytes) -> dict[str, Any]:
    values = decoder.decode(_decode(data))
    if not isinstance(values, dict):
        raise UnreadableError("the line is no JSON object; write {...} on every line")
    return values


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UnreadableError(f"{twice}: stands twice in one object; keep one of them")
    return values


def _refuse_constant(constant: str) -> None:
    raise UnreadableError(f"{constant} is no JSON number; leave the field out or use null")


def read_delimited(
    stream: BinaryIO, fields: Fields, source: str, delimiter: str
) -> Iterator[Record | Reject]:
    """Yield a record or a reject for every row below the header of a CSV or TSV stream.

    Raises:
        InvalidInputError: the header is missing, names a field twice, or lacks a needed one.
    """
    # The limit is the module's own and bounds what an unclosed quote swallows.
    csv.field_size_limit(byte_streams.MAX_LINE_BYTES)
    lines = _RowLines(stream)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    header = _header(rows, source)
    require_fields(header, fields, source)
    while True:
        lines.start_row()
        try:
            row = next(rows)
            if not row:
                continue
            lines.check_encoding()
            if len(row) != len(header):
                reason = f"the row has {len(row)} cells and the header {len(header)}; "
                reason += 'put cells that hold a delimiter in "quotes"'
                yield Reject(source, lines.row_line, reason, lines.raw())
                continue
        except StopIteration:
            return
        except csv.Error as error:
            reason = f"the row is no CSV: {error}; check its quotes"
            yield Reject(source, lines.row_line, reason, lines.raw())
        except UnreadableError as error:
            yield Reject(source, lines.row_line, str(error), lines.raw())
        else:
            values = dict(zip(header, row, strict=True))
            yield _record_or_reject(values, fields, source, lines.row_line, lines.raw())


def _header(rows: Iterator[list[str]], source: str) -> list[str]:
    """Return the names in the first row."""
    try:
        header = [name.strip() for name in next(rows, [])]
    except (csv.Error, UnreadableError) as error:
        raise InvalidInputError(f"{source}: no header can be read: {error}") from error
    if not any(header) or len(set(header)) < len(header):
        raise InvalidInputError(
            f"{source}: the first row must name every field once, it is: {', '.join(header)}",
            field="file",
            value=source,
            mend="add a header such as: id,title,text",
        )
    return header


class _RowLines:
    """Hands lines to the CSV reader and remembers those of the row being read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = bounded_lines(stream)
        self._line = 0
        self._row: list[bytes] = []
        self.row_line = 1

    def __iter__(self) -> "_RowLines":
        return self

    def __next__(self) -> str:
        data = next(self._lines)
        self._line += 1
        self._row.append(data)
        if len(data) > byte_streams.MAX_LINE_BYTES:
            _decode(data)  # raises
        # What is not UTF-8 passes here and is found by check_encoding, in the row it belongs to.
        return data.decode(errors="surrogateescape")

    def start_row(self) -> None:
        """Forget the lines of the row before."""
        self._row.clear()
        self.row_line = self._line + 1

    def check_encoding(self) -> None:
        """Raise UnreadableError where the row is not UTF-8."""
        for data in self._row:
            _decode(data)

    def raw(self) -> str:
        """Return the lines of the row as they stand in the file."""
        return _raw(b"".join(self._row))


def read_parquet(stream: BinaryIO, fields: Fields, source: str) -> Iterator[Record | Reject]:
    """Yield a record or a reject for every row of a Parquet file; a row's line is its number.

    Raises:
        InvalidInputError: pyarrow is not installed, the file is no Parquet or lacks a field.
    """
    try:
        pyarrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise InvalidInputError(
            f"{source}: reading Parquet needs pyarrow",
            field="file",
            value=source,
            mend="pip install 'rankgres[parquet]'",
        ) from error
    with tempfile.TemporaryFile() as copy:
        if not stream.seekable() or source.endswith(byte_streams.COMPRESSIONS):
            # Parquet is read from its end: a compressed one has to be laid down first.
            shutil.copyfileobj(stream, copy)
            stream = copy
        try:
            file = parquet.ParquetFile(stream)
            require_fields(file.schema_arrow.names, fields, source)
            batches = file.iter_batches(batch_size=_PARQUET_ROWS)
            for line, row in enumerate(_rows(batches), start=1):
                if isinstance(row, UnreadableError):
                    yield Reject(source, line, str(row), "")
                    continue
                values = {name: _plain(value) for name, value in row.items()}
                raw = json.dumps(values, default=repr)
                yield _record_or_reject(values, fields, source, line, raw)
        except pyarrow.ArrowException as error:
            raise InvalidInputError(
                f"{source} cannot be read as Parquet: {error}", field="file", value=source
            ) from error


def _rows(batches: Iterable[Any]) -> Iterator[dict[str, Any] | UnreadableError]:
    """Yield the rows of record batches; one with broken text comes as an error of its own."""
    for batch in batches:
        try:
            yield from batch.to_pylist()
        except UnicodeDecodeError:
            for index in range(batch.num_rows):
                try:
                    (row,) = batch.slice(index, 1).to_pylist()
                except UnicodeDecodeError as error:
                    yield _not_utf8(error)
                else:
                    yield row


def _plain(value: Any) -> Any:
    """Return a Parquet value as JSON has it: times and exact numbers become text."""
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | uuid.UUID | dt.timedelta):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def read_text(stream: BinaryIO, name: str, source: str) -> Record | Reject:
    """Return a text or Markdown file as one record, whose id is ``name``.

    Its title is the first heading, or the file's name less the suffix.
    """
    data = stream.read(byte_streams.MAX_LINE_BYTES + 1).removeprefix(b"\xef\xbb\xbf")
    try:
        text = _decode(data)
    except UnreadableError as error:
        return Reject(source, 1, str(error), "")
    if not text.strip():
        return Reject(source, 1, "the file is empty; give it some text or remove it", "")
    headings = (section.headings for section in outline(text).sections)
    title = next((path[0] for path in headings if path), PurePosixPath(name).stem)
    return _record_or_reject({"_id": name, "title": title, "text": text}, Fields(), source, 1, "")


def _record_or_reject(
    values: Mapping[str, Any], fields: Fields, source: str, line: int, raw: str
) -> Record | Reject:
    try:
        return build_record(values, fields, source, line)
    except (UnreadableError, UnstorableError) as error:
        return Reject(source, line, str(error), raw)


def _decode(data: bytes) -> str:
    """Decode a line, or raise UnreadableError where it is too long or not UTF-8."""
    if len(data) > byte_streams.MAX_LINE_BYTES:
        raise UnreadableError(
            f"longer than {byte_streams.MAX_LINE_BYTES:,} bytes; split it into several documents"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _not_utf8(error) from None


def _not_utf8(error: UnicodeDecodeError) -> UnreadableError:
    byte = error.object[error.start]
    return UnreadableError(
        f"not UTF-8: byte 0x{byte:02x} at position {error.start + 1}; save the file as UTF-8"
    )


def _raw(data: bytes) -> str:
    """Return a line for a reject; of an overlong one only the beginning."""
    if len(data) > byte_streams.MAX_LINE_BYTES:
        data = data[:_RAW_OF_OVERLONG]
    return data.rstrip(b"\r\n").decode(errors="backslashreplace")
