"""Rates and schedules hold without a drift."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobs.pace import Pace, next_due


class Clock:
    """A clock that moves when it is waited for."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def read(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


@given(st.lists(st.integers(1, 500), min_size=1, max_size=50), st.floats(1, 1000))
def test_what_is_taken_never_runs_ahead_of_the_rate(counts: list[int], per_s: float) -> None:
    clock = Clock()
    pace = Pace(per_s, clock.read, clock.wait)

    for number, count in enumerate(counts):
        pace.take(count)
        assert clock.now_s - 1000.0 >= sum(counts[:number]) / per_s - 1e-6
    assert clock.now_s - 1000.0 <= sum(counts[:-1]) / per_s + 1e-6


def test_without_a_rate_nothing_waits() -> None:
    clock = Clock()
    pace = Pace(0, clock.read, clock.wait)

    for _ in range(5):
        pace.take(10**9)
    assert clock.now_s == 1000.0


@given(st.floats(0, 1e6), st.floats(0.1, 100), st.floats(0, 1e4))
def test_the_next_time_is_the_first_of_the_schedule_that_lies_ahead(
    began: float, interval: float, later: float
) -> None:
    now = began + later
    due = next_due(began, interval, now)

    assert now < due + 1e-6 * interval + 1e-9 * now
    assert due - now <= interval * (1 + 1e-6) + 1e-9 * now
