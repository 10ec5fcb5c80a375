"""The commands up, status and down, over every real process of a stack."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.stack.processes import PROJECT, wait_gone

# The first start of a machine exports and quantises the models.
pytestmark = pytest.mark.timeout(900)

PROCESSES = [
    "supervisor",
    "postgres",
    "redis",
    "relay",
    "worker-encode",
    "worker-rerank",
    "worker-embed",
    "service",
]


def rankgres(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        env=dict(os.environ)
        | {"RANKGRES_HOME": str(home), "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a stack that runs in the background."""
    folder = tmp_path_factory.mktemp("home")
    up = rankgres(folder, "up", "--detach", "--port", "0")
    assert up.returncode == 0, up.stdout + up.stderr
    yield folder
    rankgres(folder, "down")


def test_up_down_and_status_tell_one_story(home: Path) -> None:
    shown = json.loads(rankgres(home, "status", "--json").stdout)
    assert [process["name"] for process in shown["processes"]] == PROCESSES
    assert {process["state"] for process in shown["processes"]} == {"ready"}

    address = urlsplit(shown["record"]["service_url"])
    assert address.hostname
    service = HTTPConnection(address.hostname, address.port, timeout=10)
    service.request("GET", "/health/live")
    assert service.getresponse().status == 200
    service.close()

    again = rankgres(home, "up", "--detach")
    assert again.returncode == 0
    assert "already running" in again.stdout

    supervisor = psutil.Process(shown["processes"][0]["pid"])
    tree = [supervisor, *supervisor.children(recursive=True)]
    down = rankgres(home, "down")
    assert down.returncode == 0, down.stdout + down.stderr
    wait_gone(tree)
    assert rankgres(home, "status").returncode == 2
    assert "nothing is running" in rankgres(home, "down").stdout
