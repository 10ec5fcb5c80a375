"""A real embedding worker whose encoder is no model, and which notes where its time goes.

``python -m benchmarks.timed_worker embed``; it writes what it noted to BENCHMARK_FOLDER every
second. Everything else is the product's own.
"""

import importlib
import json
import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import psycopg

from tests.support.fake_encoder import FakeEncoder, load_fake_encoder, put_in_place
from workers.chunking import Chunker

_FUNCTION = re.compile(r"rankgres\.(\w+?)_v\d")
_WRITE_SECONDS = 1.0


class Stopwatch:
    """Seconds by stage, over all threads."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def time(self, stage: Callable[..., str], work: Callable[..., Any]) -> Callable[..., Any]:
        """Return the work, its time noted under what ``stage`` says of its arguments."""

        @wraps(work)
        def timed(*args: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return work(*args, **named)
            finally:
                taken = time.perf_counter() - started
                with self._lock:
                    self._seconds[stage(*args)] += taken

        return timed

    def keep_writing(self, file: Path) -> None:
        """Write all seconds to the file, again and again."""
        while True:
            time.sleep(_WRITE_SECONDS)
            with self._lock:
                text = json.dumps(self._seconds)
            draft = file.with_suffix(".draft")
            draft.write_text(text, encoding="ascii")
            draft.replace(file)


def _statement(_cursor: object, query: Any, *_: object) -> str:
    text = query.decode() if isinstance(query, bytes) else str(query)
    found = _FUNCTION.search(text)
    return f"SQL: {found[1]}" if found else "SQL: other"


def main() -> None:
    """Put the fake and the stopwatch in place, and run the worker."""
    put_in_place(load_fake_encoder)
    watch = Stopwatch()
    for owner, name, stage in (
        (Chunker, "split_batch", lambda *_: "chunking"),
        (FakeEncoder, "encode", lambda *_: "fake encoder"),
        (psycopg.Cursor, "execute", _statement),
    ):
        setattr(owner, name, watch.time(stage, getattr(owner, name)))
    file = Path(os.environ["BENCHMARK_FOLDER"]) / f"stages-{os.getpid()}.json"
    threading.Thread(target=watch.keep_writing, args=(file,), daemon=True).start()
    importlib.import_module("workers.__main__")


if __name__ == "__main__":
    main()
