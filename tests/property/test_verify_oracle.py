"""The oracle that checks the pipeline agrees with the pipeline's own stages, on any log and any cut of it."""

from __future__ import annotations

import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.verify import anomalies
from jobs.verify.oracle import LATE_BY_S, Fate, Numbers, Oracle, Reading
from jobs.verify.oracle import Row as Stored
from streams.core.anomaly import worst
from streams.core.batch import NEVER_US, UNNUMBERED, Columns
from streams.core.deduplicate import Deduplicator, Disposition
from streams.core.partition import PartitionMemory
from tests.builders import columns, series_table
from tests.property import test_order as order
from tests.property.test_deduplicate import Table
from tests.property.test_order import logs

FATES = {
    Disposition.WRITTEN: Fate.WRITTEN,
    Disposition.DUPLICATE: Fate.DUPLICATE,
    Disposition.CORRECTION: Fate.CORRECTION,
    Disposition.CONFLICT: Fate.DEAD_LETTER,
}
PRODUCERS = ["", "gw-1", "streamgauge/computes"]

rows = st.tuples(
    st.integers(0, 1),
    st.integers(1, 5),
    st.sampled_from([1.0, 2.0, float("nan"), -0.0, 0.0]),
    st.sampled_from([0, 0, 0, 1, 2]),
    st.integers(0, 2),
    st.sampled_from([1, 1, 1, 2]),
    st.integers(UNNUMBERED, 6),
    st.sampled_from([True, True, True, False]),
)
Row = tuple[int, int, float, int, int, int, int, bool]


def bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def as_reading(row: Row) -> Reading:
    series, time_us, value, revision, producer, epoch, sequence, _ = row
    sender = ("default", PRODUCERS[producer])
    return Reading(series, time_us, bits(value), 0, revision, sender, epoch, sequence, stamp_ms=0)


def as_columns(log: list[Row]) -> Columns:
    series, time_us, value, revision, producer, epoch, sequence, _ = zip(*log, strict=True)
    return columns(
        series,
        time_us=time_us,
        value=value,
        revision=revision,
        producer=producer,
        epoch=epoch,
        sequence=sequence,
    )


@settings(max_examples=400)
@given(log=st.lists(rows, max_size=50), step=st.integers(1, 50))
def test_the_oracle_and_the_stages_agree(log: list[Row], step: int) -> None:
    table, series = Table(), series_table("rpm", "load")
    nothing = np.empty(0, np.int64)
    memory = PartitionMemory(Deduplicator(0, nothing, nothing, 0))
    oracle = Oracle()
    counts: Counter[Fate] = Counter()
    for start in range(0, len(log), step):
        piece = log[start : start + step]
        cut = as_columns(piece)
        own = np.array([row[-1] for row in piece])
        outcome = memory.judge(cut, cut.series, series, PRODUCERS, table, own)
        table.commit(outcome.rows, outcome.judgement)
        memory.apply(outcome)
        told = [oracle.judge(as_reading(row), None if row[-1] else Fate.FORWARDED) for row in piece]
        mine = [fate for fate, row in zip(told, piece, strict=True) if row[-1]]
        assert mine == [FATES[Disposition(each)] for each in outcome.judgement.disposition.tolist()]
        counts.update(told)
    stored = {(row.series_id, row.time_us): row.value_bits for row in oracle.stored()}
    assert stored == {key: bits(value) for key, value in table.stored_values.items()}
    assert oracle.counts == counts


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 20)), max_size=60))
def test_numbers_in_runs_are_a_set(sent: list[tuple[int, int]]) -> None:
    numbers, epoch, seen = Numbers(), 0, set[int]()
    for now, number in sent:
        if now > epoch:
            epoch, seen = now, set()
        assert numbers.repeated(now, number) == (now == epoch and number in seen)
        if now == epoch:
            seen.add(number)


def test_where_conflicts_are_known_nothing_else_is_one() -> None:
    oracle = Oracle(conflicts_known=True)
    first, other = (as_reading((0, 1, value, 0, 1, 1, 7, True)) for value in (1.0, 2.0))
    assert [oracle.judge(reading) for reading in (first, other)] == [Fate.WRITTEN, Fate.CORRECTION]
    assert oracle.judge(first, Fate.DEAD_LETTER) is Fate.DEAD_LETTER
    assert [row.value_bits for row in oracle.stored()] == [bits(2.0)]


@given(log=logs)
def test_the_oracle_and_the_stages_agree_on_what_is_late(log: list[order.Reading]) -> None:
    readings = order.as_columns(log)
    store, _ = order.run(readings, [], set())
    oracle = Oracle(order.PATIENCE)
    for series, time_us, value, revision, producer, stamp_ms in order.rows_of(
        (
            readings.series,
            readings.time_us,
            readings.value,
            readings.revision,
            readings.producer,
            readings.stamp_ms,
        )
    ):
        sender = ("default", PRODUCERS[producer])
        oracle.judge(Reading(series, time_us, bits(value), 0, revision, sender, 0, UNNUMBERED, stamp_ms))
    assert {(row.series_id, row.time_us) for row in oracle.stored() if row.late} == store.late
    assert oracle.dirty == store.dirty
    assert [oracle.late_by[limit_s] for limit_s in LATE_BY_S] == store.late_by.tolist()
    known = None if store.reached.watermark_us == NEVER_US else store.reached.watermark_us
    assert oracle.watermark_us == known
    released = [
        (row.series_id, row.time_us, repr(np.int64(row.value_bits).view(np.float64).item()))
        for row in oracle.released(store.reached.released_us)
    ]
    assert sorted(released) == sorted(
        (series_id, *each) for series_id, some in store.released.items() for each in some
    )


def test_how_often_an_episode_was_told_does_not_follow_the_code_that_told_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(4).normal(size=440)
    values[[270, 272, 350]] = 4.0, 40.0, -50.0
    readings = [
        Stored(7, time_s * 1_000_000, bits, 0) for time_s, bits in enumerate(values.view(np.int64).tolist())
    ]
    monkeypatch.setattr(anomalies, "worst", lambda *given: worst(*given)._replace(revision=7))

    found = anomalies.episodes_of(readings)

    assert [(each.start_us, each.revision, each.state) for each in found] == [
        (270_000_000, 2, "over"),
        (350_000_000, 1, "over"),
    ]
