"""The fixture that starts small stacks."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.stack.processes import SmallStack


@pytest.fixture
def small_stack(tmp_path: Path) -> Iterator[Callable[..., SmallStack]]:
    """Start small stacks; afterwards kill what the test left of them."""
    started: list[SmallStack] = []

    def start(plan: dict[str, Any], name: str = "home") -> SmallStack:
        stack = SmallStack(tmp_path / name, plan)
        started.append(stack)
        return stack

    yield start
    for stack in started:
        left = []
        with suppress(psutil.NoSuchProcess):
            left = stack.tree()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        stack.process.wait(60)
