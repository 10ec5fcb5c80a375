"""The command line as a process of its own, against the running stack, found by its URLs."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
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


def shown(http: httpx.Client, name: str) -> Any:
    """Return what the service says of a collection."""
    return http.get(f"/collections/{name}").json()


def found(http: httpx.Client, name: str, query: str, **condition: str) -> list[str]:
    """Return the ids that a lexical search finds."""
    body = {"query": query, "mode": "lexical", "filter": condition}
    answer = http.post(f"/collections/{name}/search", json=body).json()
    return [result["id"] for result in answer["results"]]
