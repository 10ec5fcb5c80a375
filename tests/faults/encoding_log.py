"""What the encoders of every worker read, and what went wrong in them, in the order of time.

Each worker appends lines of JSON to a file of its own. A line is written before the texts are
embedded: a worker that is killed meanwhile has still counted them.
"""

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

#: A word that stands in one document alone: the letter of its table and a number.
STAMP = re.compile(r"\b[a-z]\d{7}\b")


class Encoded(NamedTuple):
    """One text that a model read, and the stamps in it; seconds on the monotonic clock."""

    seconds: float
    digest: str
    stamps: frozenset[str]


class Trouble(NamedTuple):
    """A time in which something was wrong, and what."""

    name: str
    began: float
    ended: float


class EncodingLog:
    """The log of one process, or, for reading, of all that share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def note_texts(self, texts: Sequence[str]) -> None:
        """Write down that these texts are about to be embedded."""
        noted = [
            [blake2b(text.encode(), digest_size=12).hexdigest(), STAMP.findall(text)]
            for text in texts
        ]
        self._append({"texts": noted})

    def note_trouble(self, name: str, seconds: float) -> None:
        """Write down that the model fails or hangs from now on for so many seconds."""
        self._append({"trouble": name, "seconds": seconds})

    def _append(self, entry: dict[str, Any]) -> None:
        line = json.dumps({"at": time.monotonic(), **entry}) + "\n"
        # One write a line: a process that is killed leaves whole lines.
        with (self._folder / f"{os.getpid()}.jsonl").open("ab", buffering=0) as file:
            file.write(line.encode())

    def read(self) -> tuple[list[Encoded], list[Trouble]]:
        """Return what all workers read, oldest first, and what was wrong in their models."""
        encoded, troubles = [], []
        for entry in self._entries():
            at = entry["at"]
            for digest, stamps in entry.get("texts", ()):
                encoded.append(Encoded(at, digest, frozenset(stamps)))
            if "trouble" in entry:
                troubles.append(Trouble(entry["trouble"], at, at + entry["seconds"]))
        return sorted(encoded), troubles

    def _entries(self) -> Iterator[dict[str, Any]]:
        for file in self._folder.glob("*.jsonl"):
            for line in file.read_bytes().splitlines():
                yield json.loads(line)

    def clear(self) -> None:
        """Forget everything; no worker may be at work."""
        for file in self._folder.glob("*.jsonl"):
            file.unlink()
