"""Milliseconds that one search takes beside its models and its SQL.

    python -m benchmarks.search_overhead --corpus scifact/corpus.jsonl --queries queries.jsonl

What is measured: a whole stack of its own answers searches over HTTP, one at a time. The overhead
of a search is what its caller waits, less the two times that the service itself names in `explain`:
`model_ms`, taken by the workers around their model, and `sql_ms`, taken around the look at the
catalogue, the candidates, the embeddings of feedback and the snippets. What is left is HTTP, JSON,
Celery's round trips, Redis.

The baseline is in every line: the sum of model and SQL time of the same searches. The kinds of
search take turns query by query, so that a busy moment of the machine hits all of them alike:

- reranked: hybrid, the embedding fresh (Redis is made to forget it), the candidates reranked;
- hybrid: the same without reranking;
- cached: the same, the embedding remembered by Redis, so that no worker is asked;
- lexical: neither Redis nor a worker is asked.

How to read it: the p50 of `overhead` is the figure, p95 tells how restless the machine was. The
second table says where the overhead is: `tasks` is the round trips through Celery and the query
cache, less the model's time; `present` making the results; `HTTP`
what the caller waits beyond the search itself, its own reading of the answer included. An answer in
which a stage gave way ends the benchmark: it would measure something else.
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import redis

from benchmarks.filling import fill, make_collection, read_documents
from benchmarks.machine import machine_line
from benchmarks.temporary_stack import temporary_stack
from service.db.connection import connect
from service.ingest.documents import Document
from service.task_names import QUERY_CACHE_PREFIX

#: What each kind of search asks for. The budget is enough to rerank every candidate of every query,
#: so that all do the same work.
KINDS: dict[str, dict[str, Any]] = {
    "reranked": {"mode": "hybrid", "rerank": {"budget_ms": 10_000}},
    "hybrid": {"mode": "hybrid", "rerank": False},
    "cached": {"mode": "hybrid", "rerank": False},
    "lexical": {"mode": "lexical", "rerank": False},
}
FRESH = {"reranked", "hybrid"}
_COLLECTION = "overhead"
#: Queries asked before any counts.
_WARM_UP = 20

Times = dict[str, float]


def main() -> None:
    """Fill a collection of a stack of its own, search it in turns, and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--corpus",
        type=Path,
        help="what rankgres ingest reads; unset: the documentation of Python's standard library",
    )
    parser.add_argument(
        "--queries", type=Path, help="BEIR queries, JSONL; unset: beginnings of documents"
    )
    parser.add_argument("--searches", type=int, default=200, help="queries asked in every kind")
    parser.add_argument("--documents", type=int, default=2000, help="documents in the collection")
    options = parser.parse_args()

    print(machine_line())
    documents = read_documents(options.corpus, options.documents)
    found = read_queries(options.queries) if options.queries else make_queries(documents)
    queries = found[: options.searches + _WARM_UP]
    with temporary_stack() as stack:
        with connect(stack.database_url, autocommit=True) as connection:
            filling = fill(connection, make_collection(connection, _COLLECTION), documents)
        print(
            f"{len(documents):,} documents, {filling.chunks:,} chunks; "
            f"{len(queries) - _WARM_UP} queries in every kind"
        )
        times = measure(stack.service_url, stack.redis_url, queries)
    print_table(times, ("total", "model", "SQL", "overhead"))
    print_table(times, ("tasks", "present", "HTTP"))


def measure(service_url: str, redis_url: str, queries: Sequence[str]) -> dict[str, list[Times]]:
    """Ask every query in every kind, in turns, and return the times of each search that counts."""
    address = urlsplit(service_url)
    assert address.hostname
    service = HTTPConnection(address.hostname, address.port, timeout=60)
    times: dict[str, list[Times]] = {kind: [] for kind in KINDS}
    with redis.Redis.from_url(redis_url) as cache:
        for query in queries:
            for kind, wanted in KINDS.items():
                if kind in FRESH:
                    forget_embeddings(cache)
                times[kind].append(search(service, {"query": query, "explain": True, **wanted}))
    service.close()
    return {kind: measured[_WARM_UP:] for kind, measured in times.items()}


def search(service: HTTPConnection, body: dict[str, Any]) -> Times:
    """Search once and return the times in milliseconds."""
    started = time.perf_counter()
    service.request(
        "POST",
        f"/collections/{_COLLECTION}/search",
        json.dumps(body),
        {"content-type": "application/json"},
    )
    answer = json.loads(service.getresponse().read())
    waited = 1000 * (time.perf_counter() - started)
    if answer.get("degraded", True):
        raise RuntimeError(f"{body} was answered with {json.dumps(answer)[:500]}")
    model, sql = answer["explain"]["model_ms"], answer["explain"]["sql_ms"]
    stages = answer["timings"]
    fed = stages.get("feedback", 0)  # lies inside "rerank"
    return {
        "total": waited,
        "model": model,
        "SQL": sql,
        "overhead": waited - model - sql,
        "tasks": stages.get("embed", 0) + stages.get("rerank", 0) - fed - model,
        # These stages hold nothing but SQL and what is made of its rows.
        "present": stages["plan"] + stages["candidates"] + fed + stages["present"] - sql,
        "HTTP": waited - stages["total"],
    }


def forget_embeddings(cache: redis.Redis) -> None:
    """Remove every remembered embedding."""
    for key in cache.scan_iter(f"{QUERY_CACHE_PREFIX}*"):
        cache.delete(key)


def read_queries(path: Path) -> list[str]:
    """Read the texts of BEIR queries, each once."""
    with path.open(encoding="utf-8") as lines:
        return list(dict.fromkeys(json.loads(line)["text"] for line in lines))


def make_queries(documents: Sequence[Document]) -> list[str]:
    """Return beginnings of documents, three to ten words each, the same on every run."""
    chance = random.Random(1)
    shuffled = chance.sample(documents, len(documents))
    beginnings = (" ".join(each.text.split()[: chance.randint(3, 10)]) for each in shuffled)
    return list(dict.fromkeys(query for query in beginnings if query))


def print_table(times: dict[str, list[Times]], columns: Sequence[str]) -> None:
    """Print p50 and p95 of some times, a line for each kind of search."""
    print(f"\n{'ms, p50 / p95':16}" + "".join(f"{name:>18}" for name in columns))
    for kind, measured in times.items():
        cells = [percentiles([each[name] for each in measured]) for name in columns]
        print(f"{kind:16}" + "".join(f"{cell:>18}" for cell in cells))


def percentiles(values: Sequence[float]) -> str:
    """Return p50 and p95 as text."""
    middle, late = np.percentile(values, (50, 95))
    return f"{middle:.1f} / {late:.1f}"


if __name__ == "__main__":
    main()
