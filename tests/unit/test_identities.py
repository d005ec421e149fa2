"""Recent identities: exact, bounded, and complete above their horizon."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core import identities
from streams.core.batch import Int64
from streams.core.identities import BYTES_PER_IDENTITY, SERIES_BITS, TIME_BITS, RecentIdentities

NOW_US = 1_790_000_000_000_000


@pytest.fixture(autouse=True)
def _short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "SEALED_ROWS", 100)


def add(recent: RecentIdentities, series: Int64, time_us: Int64) -> None:
    recent.add(series, time_us, time_us.astype(np.float64), np.zeros(len(time_us), np.int16))


def test_memory_stays_within_its_budget_and_the_horizon_moves_up() -> None:
    recent = RecentIdentities(1000 * BYTES_PER_IDENTITY, NOW_US)
    for start in range(0, 20_000, 50):
        add(recent, np.full(50, 7), NOW_US + np.arange(start, start + 50))
        assert len(recent) <= 1100
    times = NOW_US + np.arange(20_000)
    covered = recent.covers(np.full(20_000, 7), times)
    assert 800 <= covered.sum() <= 1100
    found = recent.find(np.full(covered.sum(), 7), times[covered])
    assert found.found.all()
    assert found.value.tolist() == times[covered].tolist()


def test_one_clock_that_runs_ahead_does_not_take_the_horizon_with_it() -> None:
    recent = RecentIdentities(2000 * BYTES_PER_IDENTITY, NOW_US)
    for start in range(0, 20_000, 100):
        times = NOW_US + np.arange(start, start + 100)
        times[50] += 3_600_000_000
        add(recent, np.arange(100), times)
    assert recent.covers(np.array([7]), np.array([NOW_US + 19_000]))[0]


def test_what_does_not_fit_is_not_covered() -> None:
    recent = RecentIdentities(1_000_000, NOW_US)
    series = np.array([1 << SERIES_BITS, 1, 1, 1])
    times = np.array([NOW_US, NOW_US - 1, NOW_US + (1 << TIME_BITS), NOW_US])
    assert recent.covers(series, times).tolist() == [False, False, False, True]


def test_a_leap_in_time_moves_the_base_and_keeps_what_still_fits() -> None:
    recent = RecentIdentities(1_000_000, NOW_US)
    half = 1 << (TIME_BITS - 1)
    add(recent, np.array([1, 2]), np.array([NOW_US, NOW_US + half + 1]))
    add(recent, np.array([3]), np.array([NOW_US + 2 * half + 1]))
    asked = np.array([1, 2, 3]), np.array([NOW_US, NOW_US + half + 1, NOW_US + 2 * half + 1])
    assert recent.covers(*asked).tolist() == [False, True, True]
    assert recent.find(asked[0][1:], asked[1][1:]).found.all()
    assert len(recent) == 2


def test_a_correction_replaces_the_value_in_any_run() -> None:
    recent = RecentIdentities(1_000_000, NOW_US)
    for start in range(0, 300, 30):
        add(recent, np.full(30, 7), NOW_US + np.arange(start, start + 30))
    for offset in (3, 299):
        recent.correct(7, NOW_US + offset, -1.0, 1)
        found = recent.find(np.array([7]), np.array([NOW_US + offset]))
        assert (found.value[0], found.quality[0]) == (-1.0, 1)
