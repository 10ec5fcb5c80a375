"""A whole stack for one benchmark: own processes in an own folder, gone at the end."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from service.local.endpoints import StackRecord
from service.local.stack import down, start_detached
from service.settings import get_settings


@contextmanager
def temporary_stack() -> Iterator[StackRecord]:
    """Bring a stack up on a free port, yield its addresses, stop it and remove its folder.

    The settings of the environment hold, except the home. Models are exported anew (about a
    minute) unless RANKGRES_MODEL_FOLDER names where they are.
    """
    tell = partial(print, flush=True)
    with tempfile.TemporaryDirectory(prefix="rankgres-benchmark-") as folder:
        home = Path(folder)
        # Everything of this process that asks for the settings finds the stack's.
        os.environ["RANKGRES_HOME"] = folder
        get_settings.cache_clear()
        try:
            status = start_detached(get_settings(), 0, tell)
            assert status.record is not None
            yield status.record
        finally:
            down(home, tell)
