"""A reranking from the service's side: what is asked of the workers, and what their answers do."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest

from service.local.redis import EmbeddedRedis
from service.search.blend import Blend
from service.search.depth import UNKNOWN_PACE, DepthPolicy, DepthRule, Pace
from service.search.feedback import Embeddings, ReadEmbeddings
from service.search.ranking import RankedDocument
from service.search.rerank import ModelRun, RerankPlan, choose_depth, rerank
from service.search.task_sender import Pulse, TaskSender
from service.search.worker_pace import WorkerPace, pace_of
from service.task_names import PULSE_PREFIX, PULSES_PREFIX, RERANK_QUEUE
from tests.search.test_reordering import candidate, ids
from tests.support.hand_worker import HandWorker

#: Far longer than a test takes, where the time must not matter.
AMPLE_MS = 20_000.0
PLAN = RerankPlan(
    query="q", k=10, most=100, budget_ms=AMPLE_MS, blend=lambda _model: Blend(1000.0, 0.0)
)
TEXT = "word " * 80


def documents(count: int, text: str = TEXT) -> list[RankedDocument]:
    """Documents 000, 001 … whose fused scores fall evenly; each text begins with its own number."""
    found = []
    for place in range(count):
        name = f"{place:03}"
        best = replace(candidate(name, place + 1, 1 - place / count), text=f"{name} {text}")
        found.append(RankedDocument((best,), best.score))
    return found


def number(passage: str) -> int:
    return int(passage.split(maxsplit=1)[0])


def scored(values: dict[str, Any], score: Callable[[int], float | None]) -> dict[str, Any]:
    """Answer as a worker does, each passage's score made of its number."""
    scores = [score(number(passage)) for passage in values["passages"]]
    model = "large" if values.get("stage") == 2 else "small"
    return {"model": model, "scores": scores, "windows": [None] * len(scores), "model_ms": 1.5}


def nothing_read(_documents: Sequence[RankedDocument]) -> Embeddings:
    """Stand where no embedding may be read."""
    raise AssertionError("embeddings were read")


def run(
    server: EmbeddedRedis,
    sender: TaskSender,
    plan: RerankPlan,
    found: Sequence[RankedDocument],
    answer: Callable[[dict[str, Any]], Any],
    *,
    read: ReadEmbeddings | None = None,
) -> Any:
    with HandWorker(server.url, RERANK_QUEUE, answer) as worker:
        ranked, reranking = rerank(sender, plan, found, UNKNOWN_PACE, read or nothing_read)
    return ranked, reranking, worker.taken


def test_a_worker_that_runs_out_of_time_has_its_part_counted(
    redis_server: EmbeddedRedis, sender: TaskSender
) -> None:
    def answer(values: dict[str, Any]) -> dict[str, Any]:
        return scored(values, lambda place: float(place) if place < 63 else None)

    ranked, reranking, taken = run(redis_server, sender, PLAN, documents(120), answer)
    assert (reranking.state, reranking.first.scored, reranking.first.of) == ("partial", 63, 100)
    assert [number(passage) for passage in taken[0]["passages"]] == list(range(100))
    # What was scored first, and in the order of the scores; then the fused order.
    assert [int(document.best.document_id) for document in ranked] == [
        *range(62, -1, -1),
        *range(63, 120),
    ]


def test_the_worker_is_told_to_end_before_the_budget_does(
    redis_server: EmbeddedRedis, sender: TaskSender
) -> None:
    began = time.time()
    _, _, (values,) = run(redis_server, sender, PLAN, documents(3), lambda v: scored(v, float))
    assert began < values["deadline"] < began + AMPLE_MS / 1000
    assert "stage" not in values


def test_a_worker_that_refuses_says_when_to_come_again(
    redis_server: EmbeddedRedis, sender: TaskSender
) -> None:
    found = documents(30)
    ranked, reranking, _ = run(redis_server, sender, PLAN, found, lambda _: {"busy_ms": 250})
    assert ranked == found
    assert reranking.first == ModelRun(0, 30, reason="overloaded", retry_after_ms=250)
    assert reranking.state == "none"


def test_without_a_worker_the_fused_order_stands(sender: TaskSender) -> None:
    found = documents(30)
    ranked, reranking = rerank(sender, PLAN, found, UNKNOWN_PACE, nothing_read)
    assert (ranked, reranking.first.reason) == (found, "no_worker")


def test_without_candidates_nothing_is_asked(sender: TaskSender) -> None:
    ranked, reranking = rerank(sender, PLAN, [], UNKNOWN_PACE, nothing_read)
    assert (ranked, reranking.state, reranking.first.reason) == ([], "full", None)


def test_with_no_time_left_nothing_is_asked(sender: TaskSender) -> None:
    _, reranking = rerank(
        sender, replace(PLAN, budget_ms=0), documents(3), UNKNOWN_PACE, nothing_read
    )
    assert reranking.first.reason == "timeout"


CASCADE = replace(PLAN, second=5)


def test_the_second_model_scores_the_best_of_the_first_and_they_come_first(
    redis_server: EmbeddedRedis, sender: TaskSender
) -> None:
    # The first model turns the order round, the second turns its best round again.
    def answer(values: dict[str, Any]) -> dict[str, Any]:
        # Its scores are far lower: they are never put beside those of the first.
        return scored(values, lambda n: -1000.0 - n if values.get("stage") == 2 else float(n))

    ranked, reranking, taken = run(redis_server, sender, CASCADE, documents(20), answer)
    assert [number(passage) for passage in taken[1]["passages"]] == [19, 18, 17, 16, 15]
    assert taken[0]["deadline"] < taken[1]["deadline"]
    assert ids(ranked) == "".join(
        f"{place:03}" for place in [15, 16, 17, 18, 19, *range(14, -1, -1)]
    )
    assert (reranking.state, reranking.runs) == (
        "full",
        [ModelRun(20, 20, "small", 1.5), ModelRun(5, 5, "large", 1.5)],
    )
    best = ranked[0]
    assert best.second is not None
    assert best.rerank is not None
    assert (best.second.score, best.second.rank, best.second.model) == (-1015, 1, "large")
    assert (best.rerank.score, best.rerank.rank, best.rerank.model) == (15, 5, "small")
    assert ranked[5].second is None


def test_what_the_second_model_has_no_time_for_keeps_the_firsts_order(
    redis_server: EmbeddedRedis, sender: TaskSender
) -> None:
    def answer(values: dict[str, Any]) -> dict[str, Any]:
        second = values.get("stage") == 2
        return scored(values, lambda n: None if second and n < 18 else float(-n if second else n))

    ranked, reranking, _ = run(redis_server, sender, CASCADE, documents(20), answer)
    assert [int(document.best.document_id) for document in ranked][:6] == [18, 19, 17, 16, 15, 14]
    assert reranking.state == "partial"
    assert (reranking.second.scored, reranking.second.of) == (2, 5)


def test_a_second_model_that_does_not_answer_leaves_the_firsts_order(
    redis_server: EmbeddedRedis, sender: TaskSender
) -> None:
    def answer(values: dict[str, Any]) -> dict[str, Any]:
        return {"busy_ms": 90} if values.get("stage") == 2 else scored(values, float)

    ranked, reranking, _ = run(redis_server, sender, CASCADE, documents(20), answer)
    assert [int(document.best.document_id) for document in ranked] == list(range(19, -1, -1))
    assert (reranking.second.reason, reranking.second.retry_after_ms) == ("overloaded", 90)
    assert reranking.state == "partial"


def test_without_a_first_score_the_second_model_is_not_asked(
    redis_server: EmbeddedRedis, sender: TaskSender
) -> None:
    _, reranking, taken = run(
        redis_server, sender, CASCADE, documents(20), lambda v: scored(v, lambda _: None)
    )
    assert (len(taken), reranking.second, reranking.state) == (1, None, "none")


def test_the_window_that_scored_best_is_shown(
    redis_server: EmbeddedRedis, sender: TaskSender
) -> None:
    found = documents(2, "one two three four")
    headed = replace(found[1].best, heading="A heading", start_offset=100, end_offset=122)
    found[1] = RankedDocument((headed,), found[1].score)
    sent = found[1].passage_text
    assert sent == "A heading. 001 one two three four"
    window = (sent.index("two"), sent.index(" four"))

    def answer(values: dict[str, Any]) -> dict[str, Any]:
        assert values["passages"][1] == sent
        return {"model": "small", "scores": [1.0, 2.0], "windows": [None, window], "model_ms": 1.0}

    ranked, _, _ = run(redis_server, sender, PLAN, found, answer)
    shown = ranked[0].shown().best
    assert (shown.text, shown.start_offset, shown.end_offset) == ("two three", 108, 117)
    assert shown.heading == "A heading"
    assert ranked[1].shown() == ranked[1]


def test_a_window_within_the_heading_shows_the_whole_passage() -> None:
    found = documents(1)[0]
    headed = RankedDocument((replace(found.best, heading="A heading"),), 1.0)
    assert headed.at_window((0, 9)).window is None
    assert headed.at_window((0, len(headed.passage_text))).window is None


def test_where_offsets_are_not_those_of_the_text_they_stay() -> None:
    best = replace(documents(1)[0].best, text="one two three", start_offset=0, end_offset=40)
    shown = RankedDocument((best,), 1.0, window=(4, 7)).shown().best
    assert (shown.text, shown.start_offset, shown.end_offset) == ("two", 0, 40)


def test_a_window_of_a_text_that_became_shorter_is_passed_over() -> None:
    best = replace(documents(1)[0].best, text="one")
    document = RankedDocument((best,), 1.0, window=(4, 7))
    assert document.shown() == document


#: About a hundred tokens each.
EVEN = documents(100)
#: 20 000 tokens a second: 34 of them in 85 % of 200 ms.
PACE = Pace(tokens_per_second=20_000)
BUDGET = replace(PLAN, budget_ms=200)


def test_as_many_are_asked_for_as_the_budget_has_time_for() -> None:
    choice = choose_depth(BUDGET, EVEN, PACE)
    assert (choice.reason, choice.depth) == ("budget", choice.affordable)
    assert 25 <= choice.depth <= 40
    twice = choose_depth(replace(BUDGET, budget_ms=400), EVEN, PACE)
    assert twice.depth == pytest.approx(2 * choice.depth, abs=1)


def test_longer_passages_are_fewer() -> None:
    longer = choose_depth(BUDGET, documents(100, 2 * TEXT), PACE)
    assert longer.affordable is not None
    even = choose_depth(BUDGET, EVEN, PACE).affordable
    assert even is not None
    assert longer.affordable == pytest.approx(even / 2, abs=1)


def test_a_fast_worker_scores_all() -> None:
    choice = choose_depth(BUDGET, EVEN, Pace(tokens_per_second=1e6, overhead_ms=3))
    assert (choice.depth, choice.reason) == (100, "candidates")


def test_a_long_queue_leaves_twice_k_for_the_deadline_to_cut() -> None:
    busy = replace(PACE, waiting_tokens=100_000)
    choice = choose_depth(BUDGET, EVEN, busy)
    assert (choice.depth, choice.reason, choice.affordable) == (20, "least", 0)
    assert choose_depth(replace(BUDGET, k=3), EVEN, busy).depth == 6
    assert choose_depth(replace(BUDGET, most=7), EVEN, busy).depth == 7


def test_of_an_unknown_pace_all_are_tried() -> None:
    choice = choose_depth(BUDGET, EVEN, UNKNOWN_PACE)
    assert (choice.depth, choice.reason, choice.affordable) == (100, "unknown_pace", None)


def test_a_depth_that_was_asked_for_is_taken_whatever_the_budget() -> None:
    choice = choose_depth(replace(BUDGET, depth=60), EVEN, PACE)
    assert (choice.depth, choice.reason) == (60, "request")


def test_a_clear_list_is_scored_less_deep_and_the_answer_says_why() -> None:
    agreed = [
        replace(document, passages=(replace(document.best, lexical_rank=document.best.rank),))
        for document in EVEN
    ]
    policy = DepthPolicy((DepthRule(0.9, 0.0, 22),))
    choice = choose_depth(replace(BUDGET, policy=policy), agreed, PACE)
    assert (choice.depth, choice.reason) == (22, "adaptive")
    assert choice.clarity is not None
    assert choice.clarity.agreement == pytest.approx(1)
    unclear = choose_depth(replace(BUDGET, policy=policy), EVEN, PACE)
    assert unclear.reason == "budget"


def test_the_first_of_two_models_has_half_of_the_budget() -> None:
    half = choose_depth(replace(BUDGET, second=20), EVEN, PACE).affordable
    whole = choose_depth(BUDGET, EVEN, PACE).affordable
    assert half is not None
    assert whole is not None
    # Of 85 % for one model the way back of both leaves 35 %.
    assert half == pytest.approx(whole * 0.35 / 0.85, abs=1)


def pulse(**figures: float) -> Pulse:
    return Pulse("rerank", "host", 1, "model", "onnx-int8", **figures)  # type: ignore[arg-type]  # counts among them


def test_the_pace_is_the_mean_of_those_that_measured_themselves() -> None:
    measured = [
        pulse(tokens_per_second=1000.0, overhead_ms=4.0, waiting_tokens=10),
        pulse(tokens_per_second=3000.0, overhead_ms=2.0),
        pulse(waiting_tokens=70),
    ]
    assert pace_of(measured) == Pace(2000, 3, 5)
    assert pace_of([pulse()]) == pace_of([]) == UNKNOWN_PACE


def test_the_pace_is_read_from_the_pulses_in_redis(sender: TaskSender) -> None:
    told = pulse(tokens_per_second=1000.0, overhead_ms=4.0)
    key = f"{PULSE_PREFIX}{RERANK_QUEUE}:host:1"
    sender.redis.set(key, json.dumps(asdict(told)))
    # One that ended lately may still be among the keys.
    sender.redis.sadd(f"{PULSES_PREFIX}{RERANK_QUEUE}", key, f"{key}00")
    assert WorkerPace(sender, RERANK_QUEUE).now() == Pace(1000, 4, 0)
    assert sender.redis.smembers(f"{PULSES_PREFIX}{RERANK_QUEUE}") == {key.encode()}
    sender.redis.flushdb()
    assert WorkerPace(sender, RERANK_QUEUE).now() == UNKNOWN_PACE


def test_what_is_no_pulse_is_passed_over(sender: TaskSender) -> None:
    key = f"{PULSE_PREFIX}{RERANK_QUEUE}:host:1"
    sender.redis.sadd(f"{PULSES_PREFIX}{RERANK_QUEUE}", key)
    for garbage in (b"", b"no JSON", b"[]", b"{}", b'{"queue": "rerank"}'):
        sender.redis.set(key, garbage)
        assert WorkerPace(sender, RERANK_QUEUE).now() == UNKNOWN_PACE
    sender.redis.set(f"{PULSES_PREFIX}{RERANK_QUEUE}", "no set")
    assert WorkerPace(sender, RERANK_QUEUE).now() == UNKNOWN_PACE


def test_without_redis_the_pace_is_unknown() -> None:
    gone = TaskSender("unix:///nowhere/redis.sock")
    assert WorkerPace(gone, RERANK_QUEUE).now() == UNKNOWN_PACE
