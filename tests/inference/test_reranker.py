import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from workers.inference.reranker import Reranker

QUERY = "how do I run a command with a timeout"
PASSAGES = [
    "subprocess.run waits for a command; with timeout the child is killed when it expires.",
    "Whisk the eggs with the sugar until pale, fold in the flour, and bake for half an hour.",
    "signal.alarm sends SIGALRM to the process after some seconds.",
]
#: By torch 2.13 in fp32 on a CPU, with the weights of reranker-v0.
SCORES = [3.542, -2.107, -1.322]
LONG = "The child process is killed when the timeout expires. " * 100


def known(scores: list[float | None]) -> list[float]:
    """Return the scores, all of which must be there."""
    found = [score for score in scores if score is not None]
    assert len(found) == len(scores)
    return found


def test_scores_are_the_stored_ones(reranker: Reranker) -> None:
    tolerance = 0.25 if reranker.backend_name == "onnx-int8" else 0.02
    assert known(reranker.score(QUERY, PASSAGES, None)) == pytest.approx(SCORES, abs=tolerance)


def test_scores_do_not_depend_on_the_other_passages(reranker: Reranker) -> None:
    passages = PASSAGES * 5 + [LONG, ""]
    together = known(reranker.score(QUERY, passages, None))
    alone = [known(reranker.score(QUERY, [passage], None))[0] for passage in passages]
    assert together == pytest.approx(alone, abs=1e-3)


def test_the_order_agrees_with_torch_in_fp32(reranker: Reranker, exact_reranker: Reranker) -> None:
    passages = [f"{passage} {word}" for passage in PASSAGES for word in ("today", "", "twice")]
    found = known(reranker.score(QUERY, passages, None))
    exact = known(exact_reranker.score(QUERY, passages, None))
    assert np.corrcoef(found, exact)[0, 1] > 0.98


def test_no_passage_gives_no_score(reranker: Reranker) -> None:
    assert reranker.score(QUERY, [], None) == []


def test_after_the_deadline_nothing_is_scored(reranker: Reranker) -> None:
    assert reranker.score(QUERY, PASSAGES, time.monotonic() - 1) == [None, None, None]


def test_a_short_deadline_scores_a_head_and_leaves_the_rest(reranker: Reranker) -> None:
    passages = [f"{number} {LONG}" for number in range(1000)]
    scores = reranker.score(QUERY, passages, time.monotonic() + 0.5)
    assert len(scores) == 1000
    head = scores[: scores.index(None)]
    assert scores == head + [None] * (1000 - len(head))
    assert known(head[:3]) == pytest.approx(
        known(reranker.score(QUERY, passages[: len(head)][:3], None)), abs=1e-3
    )


def test_no_more_is_begun_than_fits_at_the_speed_seen(reranker: Reranker) -> None:
    sequences = reranker._reader.read_pairs(QUERY, ["one two"] * 8)
    assert len(sequences[0]) == 15  # ten of the query ("time", "##out"), two words, three special
    known_speed = reranker._seconds_per_token
    try:
        reranker._seconds_per_token = 100.0  # 1500 seconds a pair
        assert len(reranker._fitting(sequences, time.monotonic() + 3500, first=False)) == 2
        assert len(reranker._fitting(sequences, time.monotonic() + 1000, first=False)) == 0
        assert len(reranker._fitting(sequences, time.monotonic() + 1000, first=True)) == 1
        assert len(reranker._fitting(sequences, time.monotonic() - 1, first=True)) == 0
        assert len(reranker._fitting(sequences, None, first=False)) == 8
    finally:
        reranker._seconds_per_token = known_speed


def test_a_stall_that_is_over_is_soon_forgotten(reranker: Reranker) -> None:
    known_speed = reranker._seconds_per_token
    try:
        reranker._seconds_per_token = 1.0
        for _ in range(8):
            scores = reranker.score(QUERY, PASSAGES, time.monotonic() + 5)
        assert len(known(scores)) == len(PASSAGES)
    finally:
        reranker._seconds_per_token = known_speed


def test_only_the_passage_is_cut_and_that_is_reported(reranker: Reranker) -> None:
    scoring = reranker.score_and_report(QUERY, [PASSAGES[0], LONG], None)
    assert scoring.truncated == [False, True]
    sequence = reranker._reader.read_pairs(QUERY, [LONG])[0]
    words = reranker._reader.tokenizer.decode(sequence.ids, skip_special_tokens=False)
    assert words.startswith(f"[CLS] {QUERY.lower()} [SEP]")
    assert words.endswith("[SEP]")
    assert (len(sequence), sequence.full_length) == (512, 1313)


def test_a_query_leaves_half_of_the_model_to_the_passage(reranker: Reranker) -> None:
    sequence = reranker._reader.read_pairs(LONG, [LONG])[0]
    assert len(sequence) == 512
    assert sequence.type_ids.count(0) == 256 + 2  # [CLS] and [SEP] are the query's
    assert sequence.truncated


def test_many_threads_get_what_one_would(reranker: Reranker) -> None:
    queries = [f"{QUERY} of {number} seconds" for number in range(8)]
    expected = [known(reranker.score(query, PASSAGES * 4, None)) for query in queries]
    deadline = time.monotonic() + 240
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda q: reranker.score(q, PASSAGES * 4, deadline), queries))
    for scores, wanted in zip(found, expected, strict=True):
        assert known(scores) == pytest.approx(wanted, abs=1e-3)
