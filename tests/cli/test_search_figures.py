"""What ``rankgres status`` says of the models, and of the cache of query embeddings."""

import json

import httpx

from service.cli.worker_figures import CacheUse, read_cache_use, read_workers
from tests.cli.conftest import Run
from tests.support.stack import RealStack

NOWHERE = "unix:///nowhere/redis.sock"


def test_status_tells_what_the_models_do(
    run: Run, stack: RealStack, http: httpx.Client, collection: str
) -> None:
    document = {"id": "a", "text": "A lantern hangs in the porch."}
    http.post(f"/collections/{collection}/documents", json={"documents": [document], "wait": True})
    for _ in range(2):
        body = {"query": f"lamp {collection}", "rerank": {"budget_ms": 30_000}}
        assert http.post(f"/collections/{collection}/search", json=body).json()["degraded"] == []
    home = {"RANKGRES_HOME": str(stack.home)}
    told = json.loads(run("status", "--json", **home).stdout)
    workers = {worker["queue"]: worker for worker in told["workers"]}
    assert set(workers) == {"embed", "encode", "rerank"}
    assert workers["rerank"]["resident_bytes"] > 0
    assert {"waiting_tokens", "batch_fill", "dropped", "refused"} <= set(workers["rerank"])
    assert told["query_cache"]["hits"] >= 1
    assert told["query_cache"]["misses"] >= 1
    shown = run("status", COLUMNS="300", **home).stdout
    for worker in workers.values():
        assert f"{worker['queue']} {worker['pid']}" in shown
        assert worker["model"] in shown
    assert "query embeddings remembered" in shown


def test_the_share_of_remembered_embeddings_is_of_those_looked_for() -> None:
    assert CacheUse(0, 0).told == "no query yet"
    assert CacheUse(750, 250).told == "75% of 1,000 query embeddings remembered"


def test_what_cannot_be_asked_is_left_out() -> None:
    assert read_workers(NOWHERE) == []
    assert read_workers("nonsense") == []
    # Nothing listens on the port that is for discarding.
    assert read_cache_use("http://127.0.0.1:9") is None
