"""The embedded Postgres' settings, computed from the machine, each with its reason."""

from collections.abc import Iterable
from dataclasses import dataclass

MB = 1024**2
GB = 1024**3


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the configuration and why it says so."""

    name: str
    value: str
    reason: str


def tuned(memory: int, cores: int, shared_memory_free: int | None) -> list[Setting]:
    """Return the settings for a machine with ``memory`` bytes and ``cores`` physical cores.

    ``shared_memory_free`` is what /dev/shm has left, in bytes; None where there is none.
    Postgres shares the machine with the workers and their models: shares are below what a
    machine of its own would give it.
    """
    maintenance = _maintenance_memory(memory)
    workers = max(1, cores)
    return [
        *_memory(memory, maintenance),
        *_parallelism(workers),
        *_shared_memory(maintenance, shared_memory_free),
        *_writing(),
        *_planning(),
        *_housekeeping(),
    ]


def _maintenance_memory(memory: int) -> int:
    return _steps(memory // 8, 32 * MB, 2 * GB, step=32 * MB)


def _memory(memory: int, maintenance: int) -> list[Setting]:
    return [
        Setting(
            "shared_buffers",
            _megabytes(_steps(memory // 4, 64 * MB, 8 * GB, step=64 * MB)),
            "a quarter of the memory: HNSW search jumps between pages and wants them here; "
            "beyond 8 GB the kernel's own cache does as well",
        ),
        Setting(
            "effective_cache_size",
            _megabytes(_steps(memory // 2, 128 * MB, memory, step=64 * MB)),
            "what the planner may expect to be cached; half, because models need the rest",
        ),
        Setting(
            "maintenance_work_mem",
            _megabytes(maintenance),
            "an HNSW graph that fits is built in memory, one that does not is several times "
            "slower; an eighth, at most 2 GB",
        ),
        Setting(
            "work_mem",
            _megabytes(_steps(memory // 512, 4 * MB, 64 * MB, step=4 * MB)),
            "sorting and hashing candidates; each node of each running query may take it",
        ),
    ]


def _parallelism(cores: int) -> list[Setting]:
    return [
        Setting("max_worker_processes", str(cores + 8), "room for all below, and for extensions"),
        Setting("max_parallel_workers", str(cores), "one per physical core"),
        Setting(
            "max_parallel_maintenance_workers",
            str(max(1, min(cores - 1, 15))),
            "an index build uses every core: these workers and the session that asked",
        ),
        Setting(
            "max_parallel_workers_per_gather",
            str(min(cores // 2, 4)),
            "a search may use half the cores, so that one does not hold up the next",
        ),
    ]


def _shared_memory(maintenance: int, free: int | None) -> list[Setting]:
    """Keep parallel builds off a /dev/shm that cannot hold them.

    A parallel HNSW build puts its whole graph, up to maintenance_work_mem, in dynamic shared
    memory; containers get 64 MB of /dev/shm unless told otherwise, and the build would fail.
    """
    if free is not None and free < maintenance + 64 * MB:
        reason = (
            f"shared memory has {free // MB} MB left, less than a parallel index build takes: "
            "files in the data folder instead, slower but never too small"
        )
        return [Setting("dynamic_shared_memory_type", "mmap", reason)]
    return [Setting("dynamic_shared_memory_type", "posix", "fast, and large enough here")]


def _writing() -> list[Setting]:
    return [
        Setting(
            "wal_compression",
            "on",
            "full-page images of vectors and text shrink; less is written than it costs",
        ),
        Setting("max_wal_size", "4GB", "a bulk load or an index build must not force checkpoints"),
        Setting("min_wal_size", "256MB", "segments are reused instead of made anew"),
        Setting(
            "checkpoint_timeout",
            "15min",
            "fewer full-page images; the price is a recovery of at most some seconds more",
        ),
    ]


def _planning() -> list[Setting]:
    return [
        Setting(
            "random_page_cost", "1.1", "solid-state disks: index scans cost what they look like"
        ),
        Setting("jit", "off", "a search takes milliseconds, compiling it takes tens of them"),
    ]


def _housekeeping() -> list[Setting]:
    return [
        Setting(
            "max_connections",
            "100",
            "the service's and the workers' pools, and a few analysts",
        ),
        Setting(
            "max_locks_per_transaction",
            "256",
            "chunks are partitioned by generation, each partition with its indexes: a statement "
            "on the parent locks them all",
        ),
        Setting(
            "autovacuum_naptime",
            "15s",
            "the outbox turns over all the time; its dead rows must go before they add up",
        ),
        Setting("log_destination", "stderr", "the supervisor writes it to the log folder"),
        Setting("logging_collector", "off", "no second process between Postgres and its log"),
        Setting("log_line_prefix", "%m [%p] %q%u@%d ", "time, process, and who in which database"),
        Setting("log_min_duration_statement", "2s", "a search that slow is worth a line"),
        Setting("log_timezone", "UTC", "one clock in all logs"),
    ]


def undurable() -> list[Setting]:
    """Return the settings for tests: several times faster, and a power cut loses everything.

    Commits still reach the kernel before they are told, so that killing Postgres loses none.
    """
    reason = "a test's data may be lost with the machine"
    return [Setting(name, "off", reason) for name in ("fsync", "full_page_writes")]


def render(settings: Iterable[Setting]) -> str:
    """Return the text of a Postgres configuration file; a later setting wins over an earlier."""
    head = (
        "# Written by Rankgres at every start: changes here are lost.\n"
        "# Put your own below the include line of postgresql.conf, or use ALTER SYSTEM.\n"
    )
    return head + "".join(
        f"\n# {setting.reason}\n{setting.name} = {_quoted(setting.value)}\n" for setting in settings
    )


def _quoted(value: str) -> str:
    escaped = value.replace("'", "''")
    return f"'{escaped}'"


def _steps(value: int, least: int, most: int, *, step: int) -> int:
    """Return the value rounded down to whole steps, then held between the bounds."""
    return max(least, min(value // step * step, most))


def _megabytes(value: int) -> str:
    return f"{value // MB}MB"
