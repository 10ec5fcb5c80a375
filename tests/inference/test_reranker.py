import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from workers.inference.cross_encoder import CrossEncoder
from workers.inference.pair_windows import PairReader, Window

QUERY = "how do I run a command with a timeout"
PASSAGES = [
    "subprocess.run waits for a command; with timeout the child is killed when it expires.",
    "Whisk the eggs with the sugar until pale, fold in the flour, and bake for half an hour.",
    "signal.alarm sends SIGALRM to the process after some seconds.",
]
#: By torch 2.13 in fp32 on a CPU, with the weights of reranker-v1.
SCORES = [0.6765, 0.2831, 0.3157]
FILLING = "Whisk the eggs with the sugar until pale. "
LONG = "The child process is killed when the timeout expires. " * 100


def known(scores: list[float | None]) -> list[float]:
    """Return the scores, all of which must be there."""
    found = [score for score in scores if score is not None]
    assert len(found) == len(scores)
    return found


def scores_of(reranker: CrossEncoder, query: str, passages: list[str]) -> list[float]:
    return known(reranker.score(query, passages, None).scores)


def test_scores_are_the_stored_ones(reranker: CrossEncoder) -> None:
    tolerance = 0.03 if reranker.backend_name == "onnx-int8" else 0.001
    assert scores_of(reranker, QUERY, PASSAGES) == pytest.approx(SCORES, abs=tolerance)


def test_scores_do_not_depend_on_the_other_passages(reranker: CrossEncoder) -> None:
    passages = PASSAGES * 5 + [LONG, ""]
    together = scores_of(reranker, QUERY, passages)
    alone = [scores_of(reranker, QUERY, [passage])[0] for passage in passages]
    assert together == pytest.approx(alone, abs=1e-3)


def test_the_order_agrees_with_torch_in_fp32(
    reranker: CrossEncoder, exact_reranker: CrossEncoder
) -> None:
    passages = [f"{passage} {word}" for passage in PASSAGES for word in ("today", "", "twice")]
    found = scores_of(reranker, QUERY, passages)
    exact = scores_of(exact_reranker, QUERY, passages)
    assert np.corrcoef(found, exact)[0, 1] > 0.98


def test_no_passage_gives_no_score(reranker: CrossEncoder) -> None:
    scoring = reranker.score(QUERY, [], None)
    assert (scoring.scores, scoring.windows) == ([], [])


def test_after_the_deadline_nothing_is_scored(reranker: CrossEncoder) -> None:
    scoring = reranker.score(QUERY, PASSAGES, time.monotonic() - 1)
    assert (scoring.scores, scoring.windows) == ([None] * 3, [None] * 3)


def test_a_short_deadline_scores_the_best_candidates(reranker: CrossEncoder) -> None:
    passages = [f"{number} {PASSAGES[0]}" for number in range(3000)]
    scores = reranker.score(QUERY, passages, time.monotonic() + 2).scores
    assert len(scores) == 3000
    # A hole can be where a run was still under way at the deadline, in the other lane.
    scored = [index for index, score in enumerate(scores) if score is not None]
    assert 8 <= len(scored) <= scored[-1] + 1 <= len(scored) + 64
    assert known(scores[:3]) == pytest.approx(scores_of(reranker, QUERY, passages[:3]), abs=1e-3)


def test_the_best_window_of_a_long_passage_counts(reranker: CrossEncoder) -> None:
    needle = PASSAGES[0]
    passage = FILLING * 80 + needle + " " + FILLING * 80
    scoring = reranker.score(QUERY, [PASSAGES[1], passage], None)
    short, window = scoring.windows
    assert short is None
    assert window is not None
    assert needle in passage[slice(*window)]
    # It is scored as if it were the passage; at its ends it may cut a word in two.
    alone = scores_of(reranker, QUERY, [passage[slice(*window)]])
    assert scoring.scores[1] == pytest.approx(alone[0], abs=0.02)
    assert known(scoring.scores)[1] > known(scoring.scores)[0] + 0.1


def test_a_passage_whose_windows_are_not_all_read_has_no_score(reranker: CrossEncoder) -> None:
    pace = reranker._batcher._pace
    for times in (3, 30):
        pace._tokens, pace._seconds = 1000.0, 1.0  # 1000 tokens a second: the first passage only
        passages = [PASSAGES[0], LONG * times]
        scoring = reranker.score(QUERY, passages, time.monotonic() + 3)
        assert scoring.scores[0] is not None
        assert (scoring.scores[1], scoring.windows[1]) == (None, None)


def test_however_slow_the_model_seems_it_is_tried(reranker: CrossEncoder) -> None:
    pace = reranker._batcher._pace
    pace._tokens, pace._seconds = 1.0, 1.0
    for _ in range(10):
        scores = reranker.score(QUERY, PASSAGES * 3, time.monotonic() + 60).scores
        assert scores[0] is not None
    assert None not in scores


def test_windows_leave_out_nothing_and_fill_the_model(reranker: CrossEncoder) -> None:
    reader = PairReader(reranker._reader._tokenizer, 64)
    passage = " ".join(f"word{number}" for number in range(90))
    [windows] = reader.read("a short query", [passage])
    assert len(windows) > 3
    assert {len(window.sequence) for window in windows} == {64}
    read: set[int] = set()
    for window in windows:
        assert window.place is not None
        read.update(range(*window.place))
    assert set(range(len(passage))) - read <= {i for i, c in enumerate(passage) if c == " "}
    assert windows[-1].place is not None
    assert windows[-1].place[1] == len(passage)


def test_pairs_are_read_as_the_tokenizer_reads_them(reranker: CrossEncoder) -> None:
    tokenizer = reranker._reader._tokenizer
    for query, passage in (
        (QUERY, PASSAGES[0]),
        ("", "x"),
        ("x", ""),
        ("naïve 日本", "[SEP] über"),
    ):
        [[window]] = PairReader(tokenizer, 512).read(query, [passage])
        expected = tokenizer.encode(query, passage)
        assert list(window.sequence.ids) == expected.ids
        assert list(window.sequence.type_ids) == expected.type_ids


def test_a_query_leaves_half_of_the_model_to_the_passage(reranker: CrossEncoder) -> None:
    windows: list[Window] = PairReader(reranker._reader._tokenizer, 512).read(LONG, [LONG])[0]
    for window in windows:
        assert len(window.sequence) == 512
        # [CLS] and [SEP] are the query's.
        assert list(window.sequence.type_ids).count(0) == 256 + 2


def test_many_threads_get_what_one_would(reranker: CrossEncoder) -> None:
    queries = [f"{QUERY} of {number} seconds" for number in range(8)]
    expected = [scores_of(reranker, query, PASSAGES * 4) for query in queries]
    deadline = time.monotonic() + 240
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda q: reranker.score(q, PASSAGES * 4, deadline), queries))
    for scoring, wanted in zip(found, expected, strict=True):
        assert known(scoring.scores) == pytest.approx(wanted, abs=1e-3)


def test_the_speed_is_known_before_the_first_caller(reranker: CrossEncoder) -> None:
    load = reranker.load()
    assert load.tokens_per_second > 0
    assert load.runs > 0
    assert load.waiting_tokens == 0
