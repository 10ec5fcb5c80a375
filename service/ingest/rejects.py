"""Rejects: lines that are no documents, put aside so that they can be mended and read again."""

import json
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from service.ingest.records import Reject


def default_reject_path(collection: str) -> Path:
    """Return where the rejects of an ingest go unless told: a file in the current folder."""
    return Path(f"{collection}.rejects.jsonl")


class RejectFile:
    """A JSONL file of rejects: ``source``, ``line``, ``reason`` and the ``raw`` line.

    The first reject makes the file, in place of one that an earlier ingest left; without a
    reject nothing is touched.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, reject: Reject) -> None:
        """Write one reject; it is in the file when this returns."""
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8", buffering=1)
        self._file.write(json.dumps(asdict(reject)) + "\n")
        self.count += 1
