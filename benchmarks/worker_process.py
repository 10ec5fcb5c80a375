"""One worker process with a Redis of its own, for one benchmark; gone at the end."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.local.process import ProcessSpec, spawn, stop, tail
from service.local.redis import EmbeddedRedis
from service.search.task_sender import Pulse, TaskSender, read_pulses
from service.settings import get_settings

_PROJECT = Path(__file__).resolve().parents[1]
_START_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A running worker: how to ask it, and what it says of itself."""

    sender: TaskSender
    queue: str
    process: subprocess.Popen[bytes]

    def pulse(self) -> Pulse:
        """Return the worker's last pulse."""
        pulses = read_pulses(self.sender.redis, self.queue)
        assert pulses, "the worker has no pulse"
        return pulses[0]


@contextmanager
def worker_process(queue: str) -> Iterator[WorkerProcess]:
    """Start the worker of a queue, yield it when it serves, stop it and remove its folder.

    The settings of the environment hold, except where Redis is. Models are exported anew (15
    seconds each) unless RANKGRES_MODEL_FOLDER names where they are.
    """
    with tempfile.TemporaryDirectory(prefix="rankgres-benchmark-") as name:
        folder = Path(name)
        server = EmbeddedRedis(folder / "redis")
        server.start()
        log = folder / "worker.log"
        spec = ProcessSpec(
            name=f"worker-{queue}",
            argv=[sys.executable, "-m", "workers", queue],
            environment=os.environ
            | {
                "PYTHONPATH": os.pathsep.join([str(_PROJECT), *sys.path]),
                "RANKGRES_HOME": str(folder),
                "RANKGRES_MODEL_FOLDER": str(get_settings().models),
                "RANKGRES_REDIS_URL": server.url,
            },
            folder=folder,
        )
        with log.open("wb") as output:
            process = spawn(spec, output)
        try:
            sender = TaskSender(server.url)
            deadline = time.monotonic() + _START_SECONDS
            while not sender.alive(queue):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the worker does not start:\n{tail(log)}")
                time.sleep(0.05)
            yield WorkerProcess(sender, queue, process)
        finally:
            stop(process, spec.stop_steps)
            server.stop()
