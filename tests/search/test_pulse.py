"""A worker's pulse as it beats and as it is read, over a real Redis."""

import json
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from service.local.redis import EmbeddedRedis
from service.search.task_sender import Pulse, TaskSender, connect_redis, read_pulses
from service.task_names import PULSE_PREFIX, PULSES_PREFIX, RERANK_QUEUE
from workers.inference.load import Load
from workers.pulse import HUNG_SECONDS, Heart

LOAD = Load(
    tokens_per_second=30_000.0,
    overhead_ms=2.5,
    waiting_tokens=1200,
    batch_fill=0.75,
    runs=10,
    sequences=80,
    dropped=3,
    refused=2,
)


class Model:
    """A model that tells the load that the test sets."""

    load = LOAD

    def look(self) -> Load:
        return self.load


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def ends() -> list[int]:
    return []


@pytest.fixture
def heart(server: EmbeddedRedis, model: Model, ends: list[int]) -> Iterator[Heart]:
    made = Heart(server.url, RERANK_QUEUE, "a model", "onnx", model.look, end=ends.append)
    yield made
    made.stop()


def test_a_pulse_tells_what_the_model_is_doing(server: EmbeddedRedis, heart: Heart) -> None:
    heart.beat()
    [pulse] = read_pulses(connect_redis(server.url), RERANK_QUEUE)
    said = asdict(pulse)
    told = {name: value for name, value in asdict(LOAD).items() if name in said}
    assert told == {name: said[name] for name in told}
    assert set(asdict(LOAD)) - set(told) == {"silent_seconds", "failures"}
    assert pulse.resident_bytes > 10_000_000
    assert TaskSender(server.url).alive(RERANK_QUEUE)


def test_a_pulse_of_another_version_is_read(server: EmbeddedRedis) -> None:
    client = connect_redis(server.url)
    said = {"queue": "encode", "host": "h", "pid": 1, "model": "m", "backend": "b"}
    client.set(f"{PULSE_PREFIX}encode:h:1", json.dumps(said | {"of tomorrow": 1}), ex=60)
    client.sadd(f"{PULSES_PREFIX}encode", f"{PULSE_PREFIX}encode:h:1")
    assert read_pulses(client, "encode") == [Pulse(**said)]  # type: ignore[arg-type]  # str and int


def test_a_model_that_hangs_ends_its_process(
    server: EmbeddedRedis, heart: Heart, model: Model, ends: list[int]
) -> None:
    model.load = Load(silent_seconds=HUNG_SECONDS + 1)
    beats = 0
    while not ends:
        assert beats < 10
        heart.beat()
        beats += 1
    assert beats > 1
    assert ends == [70]
    assert read_pulses(connect_redis(server.url), RERANK_QUEUE) == []


def test_a_process_that_was_stopped_for_a_while_goes_on(
    heart: Heart, model: Model, ends: list[int]
) -> None:
    for _ in range(10):
        model.load = Load(silent_seconds=HUNG_SECONDS + 100)
        heart.beat()
        model.load = Load()
        heart.beat()
    assert ends == []


def test_a_model_that_fails_at_everything_ends_its_process(
    heart: Heart, model: Model, ends: list[int]
) -> None:
    model.load = Load(failures=3)
    heart.beat()
    assert ends == []
    model.load = Load(failures=50)
    heart.beat()
    assert ends == [70]
