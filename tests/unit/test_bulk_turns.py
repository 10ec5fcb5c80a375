"""Bulk work of many generations takes a worker's threads in turns."""

from workers.bulk_turns import BulkTurns


def test_generations_have_their_turns_in_the_order_they_came() -> None:
    turns = BulkTurns(threads=1)
    assert turns.join(1)
    assert not turns.join(2)
    assert not turns.join(3)
    assert [turns.next() for _ in range(4)] == [1, 2, 3, None]


def test_no_more_threads_than_allowed_give_turns() -> None:
    turns = BulkTurns(threads=2)
    assert [turns.join(1), turns.join(1), turns.join(2)] == [True, True, False]
    turns.leave()
    assert turns.join(2)
    assert not turns.join(2)


def test_a_generation_waits_for_no_more_turns_than_there_are_threads() -> None:
    turns = BulkTurns(threads=2)
    for _ in range(10):
        turns.join(1)
    turns.join(2)
    assert [turns.next() for _ in range(4)] == [1, 1, 2, None]
