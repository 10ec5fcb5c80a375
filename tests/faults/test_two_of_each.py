"""Any number of relays and workers may run at once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.ingestion import Ingestion, made_up_documents
from tests.support.stack import PROJECT, RealStack


@contextmanager
def another(stack: RealStack, *role: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", *role],
        env=dict(os.environ)
        | {"PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])}
        | stack.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def test_a_second_relay_and_a_second_worker_leave_no_duplicates(
    fragile: RealStack, ingestion: Ingestion
) -> None:
    with another(fragile, "relay"), another(fragile, "worker", "embed"):
        ingestion.write(made_up_documents(200))
        ingestion.write(made_up_documents(200, edition=2)[:60])
        ingestion.wait_drained()
    ingestion.assert_index_equals_source()
