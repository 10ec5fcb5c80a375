"""Byte streams: opens files plain, gzip or zstd, counts what is read, bounds every line."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from service.errors import InvalidInputError

COMPRESSIONS: Final = (".gz", ".zst")
#: Longest line of JSONL or CSV, and longest text file. What is longer is rejected, not read.
MAX_LINE_BYTES: Final = 16 * 1024 * 1024
#: Compressed bytes given to zstd at a time: what comes out of one step has to fit in memory.
_ZSTD_STEP: Final = 16 * 1024


class ByteCounter:
    """Counts the bytes that were read from files, before decompression."""

    def __init__(self) -> None:
        self.count = 0


class _CountedFile(io.FileIO):
    """A file that adds what is read from it to a counter."""

    def __init__(self, path: Path, counter: ByteCounter) -> None:
        super().__init__(path)
        self._counter = counter

    def readinto(self, buffer: Any) -> int | None:
        size = super().readinto(buffer)
        self._counter.count += size or 0
        return size

    def readall(self) -> bytes:
        data = super().readall()
        self._counter.count += len(data)
        return data


class _ZstdFile(io.RawIOBase):
    """Decompresses a zstd file of any number of frames; one that ends too early is an error.

    The library's own stream ends quietly where a file was cut short.
    """

    def __init__(self, compressed: BinaryIO) -> None:
        import zstandard

        self._compressed = compressed
        self._new_frame = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._output:
            if not self._input:
                self._input = self._compressed.read(_ZSTD_STEP)
            if not self._input:
                if self._frame is not None:
                    raise EOFError("the file ends in the middle of a zstd frame")
                return 0
            self._frame = self._frame or self._new_frame()
            self._output = memoryview(self._frame.decompress(self._input))
            self._input = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        size = min(len(buffer), len(self._output))
        buffer[:size] = self._output[:size]
        self._output = self._output[size:]
        return size


@contextmanager
def open_bytes(path: Path, counter: ByteCounter) -> Iterator[BinaryIO]:
    """Open a file for reading, decompressed by its suffix, and count what is read of it.

    Raises:
        InvalidInputError: the file cannot be opened, or turns out damaged while it is read.
    """
    damage: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, *_zstd_errors(path))
    try:
        with io.BufferedReader(_CountedFile(path, counter)) as plain:
            if path.suffix.lower() == ".gz":
                with gzip.GzipFile(fileobj=plain) as decompressed:
                    yield io.BufferedReader(decompressed)
            elif path.suffix.lower() == ".zst":
                with io.BufferedReader(_ZstdFile(plain)) as decompressed_zstd:
                    yield decompressed_zstd
            else:
                yield plain
    except damage as error:
        raise InvalidInputError(
            f"{path} cannot be read: {error}",
            field="file",
            value=str(path),
            mend="check that it is whole and readable; what was read up to there is kept",
        ) from error


def _zstd_errors(path: Path) -> tuple[type[Exception], ...]:
    """Return zstd's error class, without loading the library for other files."""
    if path.suffix.lower() != ".zst":
        return ()
    import zstandard

    return (zstandard.ZstdError,)


def bounded_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a stream with their line ends, without the byte order mark.

    Of a line above MAX_LINE_BYTES only the beginning comes, one byte longer than allowed.
    """
    limit = MAX_LINE_BYTES + 1
    first = True
    while line := stream.readline(limit):
        if len(line) == limit and not line.endswith(b"\n"):
            while (rest := stream.readline(limit)) and not rest.endswith(b"\n"):
                pass
        yield line.removeprefix(b"\xef\xbb\xbf") if first else line
        first = False
