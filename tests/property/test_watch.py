"""What is found of a partition is the same however its readings are cut, and whoever goes on with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.anomaly import Anomaly
from streams.core.batch import NEVER_US, Int64, Points
from streams.core.detect import saving
from streams.core.detect.choice import Choice
from streams.core.detect.codec import States
from streams.core.watch import Watch

SERIES, READINGS, STEP_US = 3, 260, 1_000_000
LEFT_OUT = 2
END_US = (READINGS + 1) * STEP_US


class Place:
    """Stores what a watch asks for, as a transaction would, and goes on with a new watch."""

    def __init__(self, points: Points) -> None:
        self.watch = self._new(NEVER_US)
        self.told: list[Anomaly] = []
        self.changed: dict[tuple[int, int], Anomaly] = {}
        self._points = points
        self._kept: dict[int, States] = {}
        self._all_to_us: int | None = None
        self._released_us = NEVER_US
        self.read_back = 0

    def release(self, to_us: int) -> None:
        """Release all before a time."""
        sightings = self.watch.see(self._between(self._released_us, to_us), to_us)
        self._released_us = to_us
        self.told += sightings.told
        self.changed |= sightings.changed
        due = self.watch.due()
        if due is not None:
            self._all_to_us = due.all_to_us
            self._kept |= dict(zip(due.series.tolist(), due.states.copy(), strict=True))

    def restart(self) -> None:
        """Forget all but what is stored."""
        self.watch = self._new(NEVER_US if self._all_to_us is None else self._all_to_us)
        if self._all_to_us is None:
            return
        states = np.array(list(self._kept.values()), np.uint8)
        self.watch.restore(
            np.array(list(self._kept), np.int64), states.reshape(len(self._kept), self.watch.bytes_per_series)
        )
        again = self._between(self._all_to_us, self._released_us)
        self.read_back += len(again.time_us)
        half_us = (self._all_to_us + self._released_us) // 2
        for part in (again.time_us < half_us, again.time_us >= half_us):
            self.watch.look_again(again.take(part))
        open_ones = [anomaly for anomaly in self.changed.values() if anomaly.end_us is None]
        self.watch.resume(open_ones, self._released_us)

    def _between(self, from_us: int, to_us: int) -> Points:
        return self._points.take((self._points.time_us >= from_us) & (self._points.time_us < to_us))

    def _new(self, saved_us: int) -> Watch:
        watch = Watch(Choice(), NEVER_US, saved_us=saved_us)
        watch.leave_out(np.array([LEFT_OUT]))
        return watch


def points_of(seed: int, spikes: list[int]) -> Points:
    random = np.random.default_rng(seed)
    values = random.normal(size=SERIES * READINGS)
    values[spikes] *= 30.0
    values[random.integers(0, len(values), 3)] = np.nan
    series = np.repeat(np.arange(SERIES), READINGS).astype(np.int32)
    time_us: Int64 = np.tile(np.arange(READINGS) * STEP_US, SERIES)
    kept = random.random(len(values)) < 0.9
    return Points(series, time_us, values, np.zeros(len(values), np.int16)).take(kept)


cuts = st.lists(st.integers(1, READINGS), min_size=3, max_size=8)
spikes = st.lists(st.integers(0, SERIES * READINGS - 1), min_size=3, max_size=12)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 50),
    spikes=spikes,
    cuts=cuts,
    rows=st.sampled_from([1, 20, 60]),
    restarts=st.booleans(),
)
def test_neither_cuts_nor_restarts_change_what_is_found(
    seed: int, spikes: list[int], cuts: list[int], rows: int, *, restarts: bool
) -> None:
    points = points_of(seed, spikes)
    whole = Place(points)
    whole.release(END_US)
    before = saving.READINGS_PER_ROW, saving.ROWS_AT_ONCE
    saving.READINGS_PER_ROW, saving.ROWS_AT_ONCE = rows, 1
    try:
        cut = Place(points)
        for second in sorted(cuts):
            cut.release(second * STEP_US)
            if restarts:
                cut.restart()
        cut.release(END_US)
    finally:
        saving.READINGS_PER_ROW, saving.ROWS_AT_ONCE = before
    assert cut.changed == whole.changed
    assert _by_episode(cut.told) == _by_episode(whole.told)
    assert LEFT_OUT not in {anomaly.series_id for anomaly in whole.told}


@settings(max_examples=5, deadline=None)
@given(left_out_from=st.integers(0, 40), step_us=st.sampled_from([STEP_US, 600 * STEP_US]))
def test_where_only_others_go_on_it_is_noted_that_all_is_saved(left_out_from: int, step_us: int) -> None:
    watch = Watch(Choice(), NEVER_US)
    watch.leave_out(np.array([LEFT_OUT]))
    most = saving.READINGS_PER_ROW * saving.ROWS_AT_ONCE
    behind = 0
    for number in range(60):
        some = np.arange(1 if step_us > STEP_US else most // 2)
        series = np.full(len(some), LEFT_OUT if number >= left_out_from else 1, np.int32)
        points = Points(
            series, number * step_us + some, some.astype(np.float64), np.zeros(len(some), np.int16)
        )
        to_us = (number + 1) * step_us
        watch.see(points, to_us)
        due = watch.due()
        behind = behind + 1 if due is None else (to_us - due.all_to_us) // step_us
        assert behind <= (saving.LONGEST_US // step_us + 1 if len(some) == 1 else 2)


def _by_episode(told: list[Anomaly]) -> dict[tuple[int, int], list[Anomaly]]:
    found: dict[tuple[int, int], list[Anomaly]] = {}
    for anomaly in told:
        found.setdefault(anomaly.key, []).append(anomaly)
    return found


def test_restarts_look_at_little_once_more_however_often_there_are_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(saving, "READINGS_PER_ROW", 30)
    monkeypatch.setattr(saving, "ROWS_AT_ONCE", 1)
    place = Place(points_of(1, []))
    read_back = []
    for second in range(0, READINGS, 20):
        place.release(second * STEP_US)
        before = place.read_back
        place.restart()
        read_back.append(place.read_back - before)
    assert 0 < max(read_back) < 90


def test_what_is_left_out_has_no_readings_kept() -> None:
    watch = Place(points_of(1, [])).watch
    watch.leave_out(np.arange(SERIES))
    saved = []
    for hour in range(12):
        to_us = hour * 3600 * 1_000_000
        watch.see(points_of(1, []), to_us)
        saved += [(hour, due.all_to_us == to_us, due.begins) for due in [watch.due()] if due is not None]

    assert saved == [(0, True, True), (7, True, False)]
