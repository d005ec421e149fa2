"""Order and lateness equal a plain loop over the log: however it is cut, whatever memory forgets."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core import order
from streams.core.batch import NEVER_US, Columns
from streams.core.deduplicate import Deduplicator, Disposition, Rows, Version
from streams.core.order import BUCKET_US
from streams.core.partition import Outcome, PartitionMemory, Reached
from streams.core.producers import Producer, ProducerState
from streams.core.watermark import CELL_MS, Heard, Patience
from tests.builders import columns, series_table
from tests.property.test_deduplicate import FLOOR_US, Table

SERIES = series_table("rpm", "load")
PRODUCERS = ["", "gw-1", "streamgauge/computes"]
COMPUTES = 2
PATIENCE = Patience(lateness_us=2_000_000, idle_ms=5_000, lag_us=20_000_000)
START_MS = 1_000_000_000_000
S = 1_000_000


class Reading(NamedTuple):
    """A reading of the log; ``ahead_us``: how much its event time is ahead of the record's timestamp."""

    series: int
    producer: int
    step_ms: int
    ahead_us: int
    value: float
    revision: int


readings = st.builds(
    Reading,
    st.integers(0, 1),
    st.integers(0, 2),
    st.sampled_from([0, 0, 0, 0, 400, 400, 1_000, 1_000, 3_000, 7_000, -600, -9_000]),
    st.sampled_from([0, 0, -1 * S, -1 * S, -2 * S, -4 * S, -8 * S, -25 * S, -90 * S, 1 * S, 40 * S]),
    st.sampled_from([1.0, 2.0, float("nan")]),
    st.sampled_from([0, 0, 0, 1, 2, 3]),
)
logs = st.lists(readings, min_size=20, max_size=80)
cuts = st.lists(st.integers(0, 80), max_size=25)


def as_columns(log: list[Reading]) -> Columns:
    stamps = START_MS + np.cumsum([reading.step_ms for reading in log], dtype=np.int64)
    return columns(
        [reading.series for reading in log],
        # Whole seconds, so that readings meet.
        time_us=[
            (stamp * 1000 + reading.ahead_us) // S * S
            for stamp, reading in zip(stamps.tolist(), log, strict=True)
        ],
        value=[reading.value for reading in log],
        revision=[reading.revision for reading in log],
        producer=[reading.producer for reading in log],
        stamp_ms=stamps.tolist(),
    )


@dataclass
class Store(Table):
    """The database: readings with their flags, and what the next owner goes on from."""

    by_version: dict[tuple[int, int], dict[int, Version]] = field(default_factory=dict)
    heard: dict[Producer, Heard] = field(default_factory=dict)
    reached: Reached = field(default_factory=Reached)
    released: dict[int, list[tuple[int, str]]] = field(default_factory=lambda: {0: [], 1: []})
    dirty: set[tuple[int, int]] = field(default_factory=set)
    late_by: np.ndarray = field(default_factory=lambda: np.zeros(6, np.int64))

    def value_in_time(self, series_id: int, time_us: int) -> float:
        versions = self.by_version.get((series_id, time_us), {})
        in_time = [version for version in versions.values() if not version.late]
        if in_time:
            return max(in_time, key=lambda version: version.revision).value
        return self.stored_values[series_id, time_us]

    def take(self, outcome: Outcome) -> None:
        self.commit(outcome.rows, outcome.judgement)
        written = outcome.judgement.written[outcome.late]
        self.late |= set(identities(outcome.rows, written))
        for version in outcome.judgement.versions:
            self.by_version.setdefault(version[:2], {}).setdefault(version.revision, version)
        self.heard |= {report.producer: report.heard for report in outcome.reports}
        self.reached = outcome.reached
        for series_id, time_us, value, _ in rows_of(outcome.released):
            self.released[series_id].append((time_us, repr(value)))
        self.dirty |= set(rows_of(outcome.dirty))
        self.late_by += outcome.late_by

    def memory(self) -> PartitionMemory:
        producers = [ProducerState(producer, heard, 0, []) for producer, heard in self.heard.items()]
        deduplicator = Deduplicator(0, *self.latest(), FLOOR_US)
        return PartitionMemory(deduplicator, producers, self.reached, PATIENCE, reorder_bytes=0)


def rows_of(columns: tuple[np.ndarray, ...]) -> list[tuple[Any, ...]]:
    return list(zip(*(column.tolist() for column in columns), strict=True))


def identities(rows: Rows, some: np.ndarray) -> list[tuple[int, int]]:
    return rows_of((rows.series_id[some], rows.time_us[some]))


def run(log: Columns, places: list[int], lost_after: set[int]) -> tuple[Store, list[int]]:
    """Store the log in flushes cut at ``places``, with memory lost after some of them."""
    store, dispositions = Store(), []
    memory = store.memory()
    ends = sorted({0, len(log)} | {min(place, len(log)) for place in places})
    for number, (start, end) in enumerate(pairwise(ends)):
        piece = log.take(np.arange(start, end))
        outcome = memory.judge(piece, piece.series, SERIES, PRODUCERS, store)
        store.take(outcome)
        memory.apply(outcome)
        dispositions += outcome.judgement.disposition.tolist()
        if number in lost_after:
            memory = store.memory()
    return store, dispositions


@dataclass
class Loop:
    """The rules, reading by reading."""

    clock_ms: int | None = None
    watermark_us: int = NEVER_US
    producers: dict[int, tuple[int, int]] = field(default_factory=dict)
    current: dict[tuple[int, int], tuple[float, int]] = field(default_factory=dict)
    late: set[tuple[int, int]] = field(default_factory=set)
    in_time: dict[tuple[int, int], float] = field(default_factory=dict)
    versions: dict[tuple[tuple[int, int], int], bool] = field(default_factory=dict)
    late_versions: set[tuple[int, int]] = field(default_factory=set)
    dirty: set[tuple[int, int]] = field(default_factory=set)
    dispositions: list[Disposition] = field(default_factory=list)
    late_by: list[int] = field(default_factory=lambda: [0] * 6)

    def see(self, series: int, producer: int, stamp_ms: int, time_us: int, value: float, rev: int) -> None:
        before = self.clock_ms
        if before is not None and stamp_ms < before - PATIENCE.idle_ms:
            self.clock_ms, self.producers = stamp_ms, {}
        else:
            self.clock_ms = max(before or stamp_ms, stamp_ms)
        if before is not None and self.clock_ms // CELL_MS != before // CELL_MS:
            self.move(self.clock_ms // CELL_MS * CELL_MS)
        high_us = max(self.producers.get(producer, (NEVER_US, 0))[0], time_us)
        self.producers[producer] = high_us, self.clock_ms
        self.judge((series, time_us), value, rev)

    def move(self, now_ms: int) -> None:
        active = {
            producer: (high_us, last_ms)
            for producer, (high_us, last_ms) in self.producers.items()
            if now_ms - last_ms <= PATIENCE.idle_ms
        }
        vouching = {producer for producer in self.producers if producer != COMPUTES} or {COMPUTES}
        waited_for = {producer for producer in active if producer in vouching} or vouching
        reached = [min(self.producers[each][0], now_ms * 1000) for each in waited_for & self.producers.keys()]
        self.producers = active
        vouched = [each for each in reached if max(reached) - each <= PATIENCE.lag_us]
        if vouched:
            self.watermark_us = max(self.watermark_us, min(vouched) - PATIENCE.lateness_us)

    def judge(self, identity: tuple[int, int], value: float, revision: int) -> None:
        is_late = identity[1] < self.watermark_us
        known = self.current.get(identity)
        if known is None:
            verdict = Disposition.WRITTEN
        elif repr(known[0]) == repr(value):
            verdict = Disposition.DUPLICATE
            self.current[identity] = known[0], max(known[1], revision)
        else:
            verdict = Disposition.CORRECTION if revision > known[1] else Disposition.CONFLICT
        if revision > (known[1] if known else 0) and verdict is not Disposition.CONFLICT:
            if verdict is Disposition.CORRECTION and known:
                self.versions.setdefault((identity, known[1]), False)
            if verdict is Disposition.CORRECTION and is_late:
                self.late_versions.add(identity)
            self.versions[identity, revision] = identity in self.late_versions
        if verdict in (Disposition.WRITTEN, Disposition.CORRECTION):
            self.current[identity] = value, revision
            if is_late:
                self.dirty.add((identity[0], identity[1] // BUCKET_US * BUCKET_US))
            else:
                self.in_time[identity] = value
        if verdict is Disposition.WRITTEN and is_late:
            self.late.add(identity)
            late_s = (self.watermark_us - identity[1]) / S
            self.late_by[sum(late_s > limit for limit in order.LATE_BY_S)] += 1
        self.dispositions.append(verdict)

    def released(self, series: int, to_us: int) -> list[tuple[int, str]]:
        return sorted(
            (time_us, repr(value))
            for (of, time_us), value in self.in_time.items()
            if of == series and time_us < to_us
        )


def loop(log: Columns) -> Loop:
    rules = Loop()
    for row in rows_of((log.series, log.producer, log.stamp_ms, log.time_us, log.value, log.revision)):
        rules.see(*row)
    return rules


def assert_as_the_rules_say(store: Store, dispositions: list[int], rules: Loop) -> None:
    assert dispositions == rules.dispositions
    assert store.late == rules.late
    assert store.late_by.tolist() == rules.late_by
    assert store.dirty == rules.dirty
    assert rules.versions == {
        (identity, revision): version.late
        for identity, versions in store.by_version.items()
        for revision, version in versions.items()
    }
    assert (store.reached.clock_ms, store.reached.watermark_us) == (rules.clock_ms, rules.watermark_us)
    for series in (0, 1):
        assert store.released[series] == rules.released(series, store.reached.released_us)
    again = store.unreleased(NEVER_US, store.reached.released_us, len(rules.in_time) + 1)
    assert sorted(
        zip(*(column.tolist() for column in again[:2]), map(repr, again.value.tolist()), strict=True)
    ) == [
        (series, *reading)
        for series in (0, 1)
        for reading in rules.released(series, store.reached.released_us)
    ]


@settings(max_examples=250)
@given(log=logs, places=cuts, lost_after=st.sets(st.integers(0, 12)))
def test_every_cut_and_every_loss_of_memory_gives_what_a_loop_gives(
    log: list[Reading], places: list[int], lost_after: set[int]
) -> None:
    readings = as_columns(log)
    store, dispositions = run(readings, places, lost_after)
    assert_as_the_rules_say(store, dispositions, loop(readings))
    assert store.reached.released_us == store.reached.watermark_us


@settings(max_examples=250)
@given(log=logs, places=cuts, lost_after=st.sets(st.integers(0, 12)))
def test_where_there_is_hardly_room_readings_are_released_later_and_in_the_same_order(
    log: list[Reading], places: list[int], lost_after: set[int]
) -> None:
    readings = as_columns(log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "MIN_ROWS", 4)
        patch.setattr(order, "FIRST_WINDOW_US", S)
        patch.setattr(order, "MAX_RUNS", 2)
        store, dispositions = run(readings, places, lost_after)
    assert_as_the_rules_say(store, dispositions, loop(readings))
    assert store.reached.released_us <= store.reached.watermark_us


@settings(max_examples=250)
@given(log=logs, place=st.integers(0, 80))
def test_judging_changes_nothing_until_it_is_applied(log: list[Reading], place: int) -> None:
    readings, store = as_columns(log), Store()
    memory = store.memory()
    before = readings.take(np.arange(min(place, len(log))))
    outcome = memory.judge(before, before.series, SERIES, PRODUCERS, store)
    store.take(outcome)
    memory.apply(outcome)
    rest = readings.take(np.arange(len(before), len(readings)))
    first, second = (memory.judge(rest, rest.series, SERIES, PRODUCERS, store) for _ in range(2))
    assert first.reached == second.reached
    assert first.reports == second.reports
    assert [part.tolist() for part in first.released[:2]] == [part.tolist() for part in second.released[:2]]
