"""What the workers' models do, and how often a query's embedding was remembered, for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import redis
from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table

from service.errors import RankgresError
from service.search.task_sender import Pulse, connect_redis, read_pulses
from service.task_names import QUEUES

_MB = 1024**2
#: The service answers this in milliseconds, or hangs.
_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class CacheUse:
    """How often the service has found a query's embedding in Redis, and how often not."""

    hits: int
    misses: int

    @property
    def hit_rate(self) -> float | None:
        """Return the share that was found; None where nothing was looked for."""
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else None

    @property
    def told(self) -> str:
        """Return it in words."""
        if self.hit_rate is None:
            return "no query yet"
        return f"{self.hit_rate:.0%} of {self.hits + self.misses:,} query embeddings remembered"


def read_workers(redis_url: str) -> list[Pulse]:
    """Return what every living worker says of itself; nothing while Redis is gone."""
    try:
        client = connect_redis(redis_url)
        return [pulse for queue in QUEUES for pulse in read_pulses(client, queue)]
    except (redis.RedisError, RankgresError):
        return []


def read_cache_use(service_url: str) -> CacheUse | None:
    """Return the use of the cache, by the service's metrics; None where it does not answer."""
    try:
        answer = httpx.get(f"{service_url}/metrics", timeout=_SECONDS).raise_for_status()
    except httpx.HTTPError:
        return None
    found = {
        sample.labels["outcome"]: int(sample.value)
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == "rankgres_query_cache_total"
    }
    return CacheUse(found.get("hit", 0), found.get("miss", 0))


def worker_table(workers: Sequence[Pulse]) -> Table:
    """Return a table of what the models do; blank is what nobody knows yet."""
    table = Table(
        "worker",
        "model",
        "backend",
        "tokens/s",
        "waiting",
        "batch fill",
        "texts",
        "dropped",
        "refused",
        "memory",
        box=None,
    )
    for pulse in workers:
        table.add_row(
            f"{pulse.queue} {pulse.pid}",
            pulse.model,
            pulse.backend,
            f"{pulse.tokens_per_second:,.0f}" if pulse.tokens_per_second else "",
            f"{pulse.waiting_tokens:,}",
            f"{pulse.batch_fill:.0%}" if pulse.runs else "",
            f"{pulse.sequences:,}",
            f"{pulse.dropped:,}",
            f"{pulse.refused:,}",
            f"{pulse.resident_bytes // _MB:,} MB" if pulse.resident_bytes else "",
        )
    return table
