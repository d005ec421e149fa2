"""Deduplication equals a dictionary: however the log is cut, whatever memory forgets or is lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core import identities
from streams.core.batch import Points
from streams.core.deduplicate import Deduplicator, Disposition, Judgement, Rows, Version
from streams.core.identities import Stored

FLOOR_US = 2
Reading = tuple[int, int, float, int, bool]
"""Series, event time, value, revision, whether its sequence number was seen before."""

readings = st.lists(
    st.tuples(
        st.integers(1, 2),
        st.integers(1, 6),
        st.sampled_from([0.0, -0.0, 2.0, float("nan")]),
        st.sampled_from([0, 0, 0, 1, 2]),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=60,
)
cuts = st.lists(st.integers(0, 60), max_size=30)


@dataclass
class Table:
    """The database as a dictionary; also the place that a judgement is stored in."""

    stored_values: dict[tuple[int, int], float] = field(default_factory=dict)
    revisions: dict[tuple[int, int], int] = field(default_factory=dict)
    versions: set[tuple[int, int, int, str]] = field(default_factory=set)
    late: set[tuple[int, int]] = field(default_factory=set)
    late_versions: set[tuple[int, int]] = field(default_factory=set)
    asked: int = 0

    def stored(self, series_id: np.ndarray, time_us: np.ndarray) -> Stored:
        keys = list(zip(series_id.tolist(), time_us.tolist(), strict=True))
        self.asked += len(keys)
        return Stored(
            np.array([key in self.stored_values for key in keys]),
            np.array([self.stored_values.get(key, 0.0) for key in keys]),
            np.zeros(len(keys), np.int16),
        )

    def revision(self, series_id: int, time_us: int) -> tuple[int, bool]:
        return self.revisions.get((series_id, time_us), 0), (series_id, time_us) in self.late_versions

    def unreleased(self, from_us: int, to_us: int, most: int) -> Points:
        found = sorted(
            (time_us, series_id, self.value_in_time(series_id, time_us))
            for series_id, time_us in self.stored_values
            if from_us <= time_us < to_us and (series_id, time_us) not in self.late
        )[:most]
        times, series, values = zip(*found, strict=True) if found else ((),) * 3
        quality = np.zeros(len(found), np.int16)
        return Points(np.array(series, np.int32), np.array(times, np.int64), np.array(values), quality)

    def value_in_time(self, series_id: int, time_us: int) -> float:
        return self.stored_values[series_id, time_us]

    def commit(self, rows: Rows, judgement: Judgement) -> None:
        for row in judgement.written.tolist():
            key = int(rows.series_id[row]), int(rows.time_us[row])
            assert key not in self.stored_values, "a second row for one identity"
            self.stored_values[key] = float(judgement.value[row])
        for version in judgement.corrected:
            assert (version.series_id, version.time_us) in self.stored_values
            self.stored_values[version.series_id, version.time_us] = version.value
        for version in judgement.versions:
            key = version.series_id, version.time_us
            if version.late:
                self.late_versions.add(key)
            self.revisions[key] = max(self.revisions.get(key, 0), version.revision)
            self.versions.add((*key, version.revision, repr(version.value)))

    def latest(self) -> tuple[np.ndarray, np.ndarray]:
        found: dict[int, int] = {}
        for series, time in self.stored_values:
            found[series] = max(found.get(series, time), time)
        return np.array(list(found), np.int64), np.array(list(found.values()), np.int64)


def rows_of(log: list[Reading]) -> Rows:
    series, time, value, revision, repeated = zip(*log, strict=True) if log else ((),) * 5
    return Rows(
        np.array(series, np.int32),
        np.array(time, np.int64),
        np.array(value, np.float64),
        np.zeros(len(log), np.int16),
        np.array(revision, np.int32),
        np.array(repeated, bool),
        np.zeros(len(log), bool),
    )


def oracle(log: list[Reading]) -> tuple[list[Disposition], dict[tuple[int, int], str], set[Any]]:
    """Judge one reading after the other, with everything ever stored at hand."""
    current: dict[tuple[int, int], tuple[str, int]] = {}
    dispositions, versions = [], set()
    for series, time, value, revision, repeated in log:
        stored = current.get((series, time))
        if time < FLOOR_US:
            verdict = Disposition.DUPLICATE if repeated else Disposition.EXPIRED
        elif stored is None:
            verdict = Disposition.CONFLICT if repeated else Disposition.WRITTEN
        elif stored[0] == repr(value):
            verdict = Disposition.DUPLICATE
            if revision > stored[1]:
                current[series, time] = (stored[0], revision)
                versions.add((series, time, revision, stored[0]))
        else:
            verdict = Disposition.CORRECTION if revision > stored[1] else Disposition.CONFLICT
        if verdict is Disposition.CORRECTION and stored is not None:
            versions |= {(series, time, stored[1], stored[0]), (series, time, revision, repr(value))}
        if verdict is Disposition.WRITTEN and revision:
            versions.add((series, time, revision, repr(value)))
        if verdict in (Disposition.WRITTEN, Disposition.CORRECTION):
            current[series, time] = (repr(value), revision)
        dispositions.append(verdict)
    return dispositions, {key: value for key, (value, _) in current.items()}, versions


def pieces(log: list[Reading], places: list[int]) -> list[list[Reading]]:
    ends = sorted({min(place, len(log)) for place in places} | {len(log)})
    return [log[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.fixture(autouse=True)
def _tiny_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "SEALED_ROWS", 3)


@settings(max_examples=300)
@given(log=readings, places=cuts, lost_after=st.sets(st.integers(0, 12)))
def test_every_cut_and_every_loss_of_memory_gives_what_a_dictionary_gives(
    log: list[Reading], places: list[int], lost_after: set[int]
) -> None:
    table = Table()
    stage = Deduplicator(0, *table.latest(), FLOOR_US)
    dispositions: list[int] = []
    for number, piece in enumerate(pieces(log, places)):
        rows = rows_of(piece)
        judgement = stage.judge(rows, table)
        table.commit(rows, judgement)
        stage.apply(rows, judgement)
        dispositions += judgement.disposition.tolist()
        if number in lost_after:
            stage = Deduplicator(0, *table.latest(), FLOOR_US)
    expected, values, versions = oracle(log)
    assert dispositions == expected
    assert {key: repr(value) for key, value in table.stored_values.items()} == values
    assert table.versions == versions


@given(log=readings)
def test_judging_changes_nothing_until_it_is_applied(log: list[Reading]) -> None:
    table = Table()
    stage = Deduplicator(0, *table.latest(), FLOOR_US)
    rows = rows_of(log)
    first, second = stage.judge(rows, table), stage.judge(rows, table)
    assert first.disposition.tolist() == second.disposition.tolist()


@given(log=readings, places=cuts)
def test_every_conflict_names_its_row_and_what_is_stored(log: list[Reading], places: list[int]) -> None:
    table = Table()
    stage = Deduplicator(0, *table.latest(), FLOOR_US)
    for piece in pieces(log, places):
        rows = rows_of(piece)
        judgement = stage.judge(rows, table)
        named = [conflict.row for conflict in judgement.conflicts]
        assert sorted(named) == np.flatnonzero(judgement.disposition == Disposition.CONFLICT).tolist()
        for row, stored in judgement.conflicts:
            assert stored is None or isinstance(stored, Version)
            assert stored is None or stored[:2] == (rows.series_id[row], rows.time_us[row])
        table.commit(rows, judgement)
        stage.apply(rows, judgement)


def test_readings_in_order_never_ask_the_database() -> None:
    table = Table()
    stage = Deduplicator(0, *table.latest(), FLOOR_US)
    for start in range(FLOOR_US, 500, 5):
        rows = rows_of(
            [(series, time, 1.0, 0, False) for time in range(start, start + 5) for series in (1, 2)]
        )
        judgement = stage.judge(rows, table)
        table.commit(rows, judgement)
        stage.apply(rows, judgement)
    assert len(table.stored_values) == 1000
    assert table.asked == 0
