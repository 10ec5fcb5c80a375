"""Files: streams the records of JSONL, CSV, TSV, Parquet and text files, plain or compressed.

A line that is no document comes out as a reject and the rest goes on; a file that cannot be read
as a whole is an error. Memory stays bounded whatever the size of a file.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from service.errors import InvalidInputError
from service.ingest.byte_streams import COMPRESSIONS, ByteCounter, open_bytes
from service.ingest.record_formats import (
    read_delimited,
    read_json_lines,
    read_parquet,
    read_text,
)
from service.ingest.records import Fields, Record, Reject

__all__ = ["Fields", "Record", "RecordReader", "Reject", "read_records"]

STDIN: Final = Path("-")
_TEXT_FORMATS: Final = (".txt", ".md", ".markdown", ".rst")
_FORMATS: Final = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", *_TEXT_FORMATS)


class RecordReader:
    """Reads records from files and folders, and says how far it has come.

    ``bytes_total`` is the size of all files as they lie on disk, None where standard input is
    among them; ``bytes_read`` grows towards it while the reader is iterated.

    Raises:
        InvalidInputError: at once where a path is missing, of an unknown format, or an empty
            folder; while reading where a file is damaged or lacks a named field.
    """

    def __init__(self, paths: Sequence[Path], fields: Fields) -> None:
        self._fields = fields
        self._files = [file for path in paths for file in _files(path)]
        self._counter = ByteCounter()
        reads_stdin = any(path == STDIN for path, _ in self._files)
        sizes = (path.stat().st_size for path, _ in self._files if path != STDIN)
        self.bytes_total = None if reads_stdin else sum(sizes)

    @property
    def bytes_read(self) -> int:
        """Return the bytes read so far, compressed where the file is."""
        # Parquet reads the end of a file twice.
        return min(self._counter.count, self.bytes_total or self._counter.count)

    def __iter__(self) -> Iterator[Record | Reject]:
        for path, name in self._files:
            yield from self._read(path, name)

    def _read(self, path: Path, name: str) -> Iterator[Record | Reject]:
        if path == STDIN:
            yield from read_json_lines(sys.stdin.buffer, self._fields, "standard input")
            return
        source, kind = str(path), _format(path)
        with open_bytes(path, self._counter) as stream:
            if kind in _TEXT_FORMATS:
                yield read_text(stream, name, source)
            elif kind == ".parquet":
                yield from read_parquet(stream, self._fields, source)
            elif kind in {".csv", ".tsv"}:
                delimiter = "\t" if kind == ".tsv" else ","
                yield from read_delimited(stream, self._fields, source, delimiter)
            else:
                yield from read_json_lines(stream, self._fields, source)


def read_records(paths: Sequence[Path], fields: Fields) -> Iterator[Record | Reject]:
    """Yield every record and reject of the paths, in order; see RecordReader."""
    yield from RecordReader(paths, fields)


def _files(path: Path) -> list[tuple[Path, str]]:
    """Return the files that a path stands for, each with the id it has as a text document.

    A folder stands for every text and Markdown file below it, sorted; hidden ones are left out.
    """
    if path == STDIN:
        return [(path, "")]
    if not path.exists():
        raise InvalidInputError(f"{path} does not exist", field="file", value=str(path))
    if not path.is_dir():
        _format(path)
        return [(path, path.name)]
    files = sorted(_text_files(path))
    if not files:
        raise InvalidInputError(
            f"{path} holds no text file",
            field="file",
            value=str(path),
            mend=f"files that are read from a folder end in {', '.join(_TEXT_FORMATS)}",
        )
    return [(path / name, name) for name in files]


def _text_files(folder: Path) -> Iterator[str]:
    """Yield the path of each text file, relative to the folder, with slashes."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = Path(parent, name)
            if file.suffix.lower() in _TEXT_FORMATS and not name.startswith("."):
                yield file.relative_to(folder).as_posix()


def _format(path: Path) -> str:
    """Return the suffix that says how to read a file, less that of its compression."""
    inner = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    suffix = inner.suffix.lower()
    if suffix not in _FORMATS:
        raise InvalidInputError(
            f"{path}: the format {suffix or path.name!r} is not known",
            field="file",
            value=str(path),
            mend=f"give a folder, - for JSONL on standard input, or a file that ends in "
            f"{', '.join(_FORMATS)}, with {' or '.join(COMPRESSIONS)} behind it if compressed",
        )
    return suffix
