"""Batches grow with a fast model and shrink with a slow one."""

from workers.batch_pace import BatchPace


def test_fast_batches_grow_to_the_most() -> None:
    pace = BatchPace(most=1000)
    sizes = []
    for _ in range(6):
        sizes.append(pace.documents)
        pace.note(pace.documents, 0.1)
    assert sizes == [64, 128, 256, 512, 1000, 1000]


def test_a_batch_that_was_not_full_says_nothing_of_larger_ones() -> None:
    pace = BatchPace(most=1000)
    pace.note(1, 0.01)
    assert pace.documents == 64


def test_slow_batches_shrink_and_stop_at_a_few_documents() -> None:
    pace = BatchPace(most=1000)
    pace.note(64, 3.0)
    assert pace.documents == 32
    for _ in range(10):
        pace.note(pace.documents, 3.0)
    assert pace.documents == 4


def test_one_document_that_takes_long_makes_a_small_batch() -> None:
    pace = BatchPace(most=1000)
    pace.note(10, 60.0)
    assert pace.documents == 5


def test_a_setting_below_the_fewest_holds() -> None:
    pace = BatchPace(most=2)
    pace.note(2, 3.0)
    assert pace.documents == 2
