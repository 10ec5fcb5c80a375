"""What the machine, or the container around this process, gives: memory, cores, shared memory."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  the kernel's own mount point, only measured here


def memory_bytes() -> int:
    """Return the memory this process may use: the machine's, or less where a cgroup limits it."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *_cgroup_memory_limits()])


def physical_cores() -> int:
    """Return the cores this process may run on, hyper-threads not counted twice; at least 1."""
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    return max(1, min([cores, *_cgroup_core_limits()]))


def shared_memory_free_bytes() -> int | None:
    """Return the free space of /dev/shm, or None where the system has no such folder."""
    return shutil.disk_usage(_SHARED_MEMORY).free if _SHARED_MEMORY.is_dir() else None


def _cgroup_memory_limits() -> Iterator[int]:
    """Yield every limit between this process's cgroup and the root; 'max' is not a number."""
    for folder in _cgroup_folders("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name)
            if text.isdigit():
                yield int(text)


def _cgroup_core_limits() -> Iterator[int]:
    """Yield every CPU quota as whole cores, rounded down but at least 1."""
    for folder in _cgroup_folders("cpu"):
        text = _read(folder / "cpu.max") or " ".join(
            (_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))
        )
        quota, _, period = text.partition(" ")
        if quota.isdigit() and period.isdigit():  # unlimited reads "max" or -1
            yield max(1, int(quota) // int(period))


def _cgroup_folders(controller: str) -> Iterator[Path]:
    """Yield the folders that may limit this process, for both versions of the cgroup file system.

    Lines of /proc/self/cgroup read ``number:controllers:/path``; version 2 has no controllers.
    """
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _CGROUPS / controllers if controllers else _CGROUPS
        own = root / path.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(root))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
