import pytest

from workers.inference.model_pace import ModelPace


class Clock:
    """A clock that stands still between two steps."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def run(pace: ModelPace, clock: Clock, tokens: int, seconds: float, lane: int = 0) -> None:
    pace.begin(lane, tokens, sequences=1, run_tokens=1000)
    clock.now += seconds
    pace.end(lane)


def test_the_speed_is_of_the_time_at_work(clock: Clock) -> None:
    pace = ModelPace(clock)
    assert pace.tokens_per_second == 0
    for _ in range(20):
        run(pace, clock, 100, 0.1)
        clock.now += 10
    assert pace.tokens_per_second == pytest.approx(1000)


def test_lanes_at_work_at_once_add_up(clock: Clock) -> None:
    pace = ModelPace(clock)
    pace.begin(0, 100, 1, 1000)
    pace.begin(1, 100, 1, 1000)
    for step in range(40):
        clock.now += 0.05
        pace.end(step % 2)
        pace.begin(step % 2, 100, 1, 1000)
    # Each lane takes 0.1 seconds for 100 tokens.
    assert pace.tokens_per_second == pytest.approx(2000, rel=0.01)
    assert pace.running_tokens == 200
    assert pace.seconds_for(200) == pytest.approx(0.2, rel=0.01)


def test_a_new_speed_is_learnt_in_seconds(clock: Clock) -> None:
    pace = ModelPace(clock)
    for _ in range(20):
        run(pace, clock, 100, 0.1)
    for _ in range(20):
        run(pace, clock, 100, 0.2)
    assert pace.tokens_per_second == pytest.approx(500, rel=0.05)


def test_good_news_is_learnt_from_little(clock: Clock) -> None:
    pace = ModelPace(clock)
    for _ in range(20):
        run(pace, clock, 100, 10)
    run(pace, clock, 100, 0.01)
    assert pace.tokens_per_second > 1000


def test_a_stall_that_is_over_is_soon_forgotten(clock: Clock) -> None:
    pace = ModelPace(clock)
    for _ in range(20):
        run(pace, clock, 100, 0.1)
    run(pace, clock, 100, 3600)
    assert pace.tokens_per_second > 700
    for _ in range(20):
        run(pace, clock, 100, 0.1)
    assert pace.tokens_per_second == pytest.approx(1000, rel=0.05)


def test_nothing_is_learnt_of_a_run_that_failed(clock: Clock) -> None:
    pace = ModelPace(clock)
    for _ in range(20):
        run(pace, clock, 100, 0.1)
    pace.begin(0, 100, 1, 1000)
    pace.end(0, failed=True)
    assert pace.tokens_per_second == pytest.approx(1000)


def test_the_fill_is_that_of_the_last_minute(clock: Clock) -> None:
    pace = ModelPace(clock)
    for _ in range(100):
        run(pace, clock, 1000, 0.1)
    assert pace.batch_fill == pytest.approx(1.0)
    clock.now += 300
    run(pace, clock, 250, 0.1)
    assert pace.batch_fill < 0.6


def test_silence_is_counted_from_the_beginning_of_the_oldest_run(clock: Clock) -> None:
    pace = ModelPace(clock)
    assert pace.silent_seconds() == 0
    pace.begin(0, 100, 1, 1000)
    clock.now += 5
    pace.begin(1, 100, 1, 1000)
    clock.now += 2
    assert pace.silent_seconds() == 7
    pace.end(0)
    assert pace.silent_seconds() == 2
