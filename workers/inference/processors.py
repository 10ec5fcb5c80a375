"""What this process may compute on: cores and CUDA devices, found without loading a model."""

import ctypes
import os
from pathlib import Path

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_FLAGS = Path("/proc/cpuinfo")


def physical_cores() -> int:
    """Return how many physical cores this process may use, at least 1.

    Hyper-threads of one core count once: a second thread of matrix products on a core adds
    nothing. The container's CPU quota and the process's affinity bound the number.
    """
    allowed = _allowed_processors()
    cores = {_siblings(processor) for processor in allowed}
    return max(1, min(len(cores), _quota() or len(cores)))


def cuda_present() -> bool:
    """Return whether the CUDA driver sees a device, without importing torch."""
    for library in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(library)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value > 0
    return False


def multiplies_bf16() -> bool:
    """Return whether a CUDA device or this processor multiplies bfloat16 faster than fp32."""
    if cuda_present():
        return True
    try:
        words = set(_FLAGS.read_text(encoding="ascii", errors="replace").split())
    except OSError:  # not Linux
        return False
    return bool({"avx512_bf16", "amx_bf16"} & words)


def _allowed_processors() -> set[int]:
    try:
        return os.sched_getaffinity(0)
    except AttributeError:  # macOS and Windows have no affinity to ask for
        return set(range(os.cpu_count() or 1))


def _siblings(processor: int) -> str:
    try:
        return Path(_TOPOLOGY.format(processor)).read_text(encoding="ascii").strip()
    except OSError:
        return str(processor)


def _quota() -> int | None:
    """Return the whole cores that the control group grants, or None without a limit."""
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # no control groups, or "max": no limit
        return None
