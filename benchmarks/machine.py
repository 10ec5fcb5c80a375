"""The machine that figures were taken on, in one line: a figure without it says nothing."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from workers.inference.processors import physical_cores


def machine_line() -> str:
    """Return processor, cores and the versions that decide the speed."""
    versions = f"Python {platform.python_version()}, onnxruntime {version('onnxruntime')}"
    return f"{_processor()}, {physical_cores()} cores of {os.cpu_count()} processors; {versions}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()
