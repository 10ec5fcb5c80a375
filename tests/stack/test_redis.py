import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from celery import Celery

from service.local.endpoints import celery_broker_url
from service.local.redis import EmbeddedRedis


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    embedded = EmbeddedRedis(tmp_path / "with space")
    embedded.start()
    yield embedded
    embedded.stop()


def test_it_listens_on_a_closed_socket_only(server: EmbeddedRedis) -> None:
    assert server._process
    assert psutil.Process(server._process.pid).net_connections("tcp") == []
    assert stat.S_IMODE(server.sockets.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700


def test_it_keeps_nothing_over_a_restart(server: EmbeddedRedis) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", "no")
    server.stop()
    assert not server.ready()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.get("kept") is None
    assert not list(server.folder.glob("*.rdb"))


def test_full_memory_costs_cached_values_and_no_queue(server: EmbeddedRedis) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", "4mb")
        client.rpush("queue", "wake up")
        for number in range(2000):
            client.set(f"cached:{number}", b"x" * 4096, ex=3600)
        assert client.lrange("queue", 0, -1) == [b"wake up"]
        assert 0 < client.dbsize() < 2000


def test_celery_reaches_it_by_the_url_made_for_celery(server: EmbeddedRedis) -> None:
    url = celery_broker_url(server.url)
    with Celery(broker=url, backend=url) as app:
        app.send_task("wake", queue="embed", ignore_result=True)
        app.backend.client.set("answer", "kept")
    with redis.Redis.from_url(server.url) as client:
        assert client.llen("embed") == 1
        assert client.get("answer") == b"kept"


def test_a_network_url_stays_as_it_is_and_a_database_number_is_translated() -> None:
    assert celery_broker_url("redis://:secret@host:6379/2") == "redis://:secret@host:6379/2"
    expected = "redis+socket:///run/r.sock?virtual_host=3"
    assert celery_broker_url("unix:///run/r.sock?db=3") == expected


def test_a_path_too_long_for_a_socket_gets_a_short_one_that_goes_at_stop(tmp_path: Path) -> None:
    embedded = EmbeddedRedis(tmp_path / ("long" * 30))
    embedded.start()
    assert embedded.ready()
    assert not embedded.sockets.is_relative_to(tmp_path)
    embedded.stop()
    assert not embedded.sockets.exists()
