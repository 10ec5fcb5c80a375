"""Whom the relay wakes workers for, and in which order."""

from service.ingest.outbox import DueGeneration
from workers.relay_outbox import wake_ups


def test_changes_come_before_bulk_work_and_each_generation_once_a_round() -> None:
    due = [
        DueGeneration(1, edits=0, others=5000),
        DueGeneration(2, edits=100, others=5000),
        DueGeneration(3, edits=1, others=0),
    ]
    assert list(wake_ups(due)) == [(2, False), (3, False), (1, True), (2, True), (2, False)]


def test_many_changes_wake_several_workers() -> None:
    assert list(wake_ups([DueGeneration(1, edits=10_000, others=0)])) == [(1, False)] * 4


def test_nothing_due_wakes_nobody() -> None:
    assert list(wake_ups([])) == []
