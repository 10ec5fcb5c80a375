import pytest

from workers.answer_backend import AnswerBackend
from workers.celery_app import make_app


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix:///run/redis.sock?db=3", {"path": "/run/redis.sock", "db": 3}),
        ("redis://cache.example:6380/2", {"host": "cache.example", "port": 6380, "db": 2}),
    ],
)
def test_results_go_to_the_redis_that_the_service_reads(
    url: str, expected: dict[str, object]
) -> None:
    backend = make_app(url, "encode").backend
    assert isinstance(backend, AnswerBackend)
    assert {name: backend.connparams[name] for name in expected} == expected
