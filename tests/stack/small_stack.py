"""A supervisor over small real programs, run by the tests as a process of its own.

``python small_stack.py HOME PLAN``; PLAN is JSON: whether to run the embedded servers, and batches
of programs, each with a name and Python code. A program is ready when it has made NAME.ready.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from signal import SIGTERM
from typing import Any

from service.errors import RankgresError
from service.local.postgres import EmbeddedPostgres
from service.local.process import ProcessSpec
from service.local.redis import EmbeddedRedis
from service.local.supervisor import Pace, Supervisor


def program(home: Path, plan: dict[str, Any]) -> ProcessSpec:
    ready: Callable[[int], bool] | None = None
    if plan.get("says_ready"):
        ready_file = home / f"{plan['name']}.ready"

        def ready(_pid: int) -> bool:
            return ready_file.exists()

    return ProcessSpec(
        name=plan["name"],
        argv=[sys.executable, "-c", plan["code"]],
        environment=dict(os.environ) | {"RANKGRES_HOME": str(home)},
        folder=home,
        ready=ready,
        essential=plan.get("essential", False),
        stop_steps=((SIGTERM, plan.get("stop_seconds", 20.0)),),
    )


def main() -> None:
    home, plan = Path(sys.argv[1]).resolve(), json.loads(sys.argv[2])
    pace = Pace(first_wait=0.1, longest_wait=0.4, proved=0.1)
    with Supervisor(home, partial(print, flush=True), pace) as supervisor:
        if plan.get("servers"):
            postgres = EmbeddedPostgres(home / "postgres", durable=False, memory_bytes=2**30)
            servers = (postgres, EmbeddedRedis(home / "redis"))
            for server in servers:
                server.initialise()
            supervisor.start([server.process() for server in servers])
        for batch in plan.get("batches", []):
            supervisor.start([program(home, each) for each in batch])
        if supervisor.wait_ready(60):
            supervisor.say("everything is ready")
            supervisor.run()


if __name__ == "__main__":
    try:
        main()
    except RankgresError as error:
        sys.exit(f"{type(error).__name__}: {error}")
