"""The consoles every command writes to: results on standard output, the rest on standard error."""

from rich.console import Console

console = Console()
error_console = Console(stderr=True)
