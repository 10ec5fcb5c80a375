"""Progress of commands that ask many judged queries: a bar for each thing they ask."""

from collections.abc import Callable

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.cli.terminal import error_console


class QueryBars(Progress):
    """Progress on standard error, gone at the end."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=error_console,
            transient=True,
        )

    def begin(self, name: str, total: int) -> Callable[[], None]:
        """Add a bar and return what advances it by one."""
        task = self.add_task(name, total=total)
        return lambda: self.advance(task)
