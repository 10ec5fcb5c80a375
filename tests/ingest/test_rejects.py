import json
from pathlib import Path

from service.ingest.files import Reject
from service.ingest.rejects import RejectFile, default_reject_path

REJECT = Reject("a.jsonl", 7, "id: missing; every document needs an id", '{"text": "caf\u00e9"}')


def test_without_a_reject_no_file_is_made(tmp_path: Path) -> None:
    with RejectFile(tmp_path / "c.rejects.jsonl") as rejects:
        assert rejects.count == 0
    assert list(tmp_path.iterdir()) == []


def test_rejects_are_written_at_once_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "c.rejects.jsonl"
    with RejectFile(path) as rejects:
        rejects.add(REJECT)
        assert json.loads(path.read_text()) == {
            "source": "a.jsonl",
            "line": 7,
            "reason": "id: missing; every document needs an id",
            "raw": '{"text": "caf\u00e9"}',
        }
        rejects.add(REJECT)
        assert rejects.count == 2
    assert len(path.read_text().splitlines()) == 2


def test_a_new_ingest_replaces_the_rejects_of_the_last(tmp_path: Path) -> None:
    path = tmp_path / "c.rejects.jsonl"
    for _ in range(2):
        with RejectFile(path) as rejects:
            rejects.add(REJECT)
    assert len(path.read_text().splitlines()) == 1


def test_the_default_file_is_named_after_the_collection() -> None:
    assert default_reject_path("news") == Path("news.rejects.jsonl")
