"""The consoles every command writes to: results on standard output, the rest on standard error."""

import sys
from typing import TextIO

from rich.console import Console

#: Columns where there is no terminal to ask: wide enough for four ids side by side.
_PIPED_WIDTH = 132


def _console(stream: TextIO, *, stderr: bool) -> Console:
    return Console(stderr=stderr, width=None if stream.isatty() else _PIPED_WIDTH)


console = _console(sys.stdout, stderr=False)
error_console = _console(sys.stderr, stderr=True)
