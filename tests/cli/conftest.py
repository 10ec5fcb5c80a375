"""The command line as a process of its own, against the running stack, found by its URLs."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from uuid import uuid4

import pytest

from tests.support.stack import RealStack, rankgres

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def run(stack: RealStack, tmp_path: Path) -> Run:
    """Run a command in an empty folder; keyword arguments are further environment variables."""

    def run_command(
        *arguments: str | Path, stdin: str = "", **variables: str
    ) -> CompletedProcess[str]:
        return rankgres(
            *(str(argument) for argument in arguments),
            environment=stack.environment | variables,
            folder=tmp_path,
            stdin=stdin,
        )

    return run_command


@pytest.fixture
def name(run: Run) -> Iterator[str]:
    """The name of a collection that was just created."""
    name = f"cli-{uuid4().hex[:8]}"
    created = run("collection", "create", name)
    assert created.returncode == 0, created.stderr
    yield name
    run("collection", "drop", name, "--yes")


def shown(run: Run, name: str) -> Any:
    """Return what ``collection show --json`` says."""
    return json.loads(run("collection", "show", name, "--json").stdout)


def found(run: Run, name: str, query: str, *options: str) -> list[str]:
    """Return the ids that a lexical search finds."""
    answer = run("search", name, query, "--mode", "lexical", "--json", *options)
    assert answer.returncode == 0, answer.stderr
    return [result["id"] for result in json.loads(answer.stdout)["results"]]
