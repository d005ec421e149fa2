"""The figures of the header: from the database, from Kafka, from the workers."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jobs.top.health import RATE_WINDOW_S, Ends, Rate, Stored, lag, summarize

WORKER: dict[str, Any] = {
    "owner": "a",
    "rows_per_s": 10.0,
    "latency_p50_ms": 40.0,
    "latency_p99_ms": 60.0,
    "duplicates": 2,
}


def test_lag_counts_what_is_not_stored_of_every_partition() -> None:
    stored = [Stored(0, 7, 0, 0), Stored(1, 20, 0, 0)]

    assert lag(stored, {0: Ends(0, 10), 1: Ends(0, 20), 2: Ends(4, 9)}) == 3 + 0 + 5


def test_lag_is_never_negative() -> None:
    assert lag([Stored(0, 50, 0, 0)], {0: Ends(0, 10)}) == 0


def test_what_is_not_known_is_not_guessed() -> None:
    health = summarize([Stored(0, 7, 100, 3)], None, [], None, [], {})

    assert (health.written, health.dead_letters) == (100, 3)
    assert health.lag is None
    assert health.duplicates is None
    assert health.latency_p50_ms is None
    assert health.latency_p99_ms is None


def test_workers_are_summed_up() -> None:
    busy = {
        **WORKER,
        "rows_per_s": 30.0,
        "latency_p50_ms": 80.0,
        "latency_p99_ms": 90.0,
    }
    idle = {**WORKER, "rows_per_s": 0.0, "latency_p50_ms": None, "latency_p99_ms": None, "duplicates": None}
    health = summarize([], {}, [WORKER, busy, idle], 40.0, [], {"3": "gone"})

    assert health.latency_p50_ms == (40.0 * 10 + 80.0 * 30) / 40
    assert health.latency_p99_ms == 90.0
    assert health.duplicates == 4
    assert health.halted == {"3": "gone"}
    assert len(health.workers) == 3


def test_workers_that_all_rest_still_have_a_latency() -> None:
    assert summarize([], {}, [{**WORKER, "rows_per_s": 0.0}], 0.0, [], {}).latency_p50_ms == 40.0


@given(st.floats(1, 1000), st.integers(2, 30))
def test_a_steady_rate_is_told_as_it_is(per_s: float, seconds: int) -> None:
    rate = Rate()
    told = [rate.update(float(second), round(per_s * second)) for second in range(seconds)]

    assert told[0] is None
    assert all(each is not None and abs(each - per_s) <= 1.0 for each in told[1:])


def test_a_rate_forgets_what_is_longer_ago_than_its_window() -> None:
    rate = Rate()
    for second in range(10):
        rate.update(float(second), 1000 * second)
    for second in range(10, 20):
        last = rate.update(float(second), 9000)

    assert last == 0.0
    assert RATE_WINDOW_S < 10


def test_a_counter_that_was_reset_begins_anew() -> None:
    rate = Rate()
    rate.update(0.0, 100)

    assert rate.update(1.0, 5) is None
    assert rate.update(2.0, 8) == 3.0
