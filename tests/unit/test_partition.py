"""The stateful stages of one partition together: numbers and identities, tenants apart."""

from __future__ import annotations

import numpy as np

from streams.core.batch import NEVER_US, Points
from streams.core.deduplicate import Deduplicator, Disposition
from streams.core.identities import Stored
from streams.core.partition import PartitionMemory
from streams.core.producers import Producer
from streams.core.rejection import Reason
from streams.core.series import SeriesKey, SeriesTable
from tests.builders import BASE_US, columns, series_table

NOTHING = np.empty(0, np.int64)


class Empty:
    """A database that holds nothing."""

    def stored(self, series_id: np.ndarray, time_us: np.ndarray) -> Stored:
        return Stored.nothing(len(series_id))

    def revision(self, series_id: int, time_us: int) -> tuple[int, bool]:
        return 0, False

    def unreleased(self, from_us: int, to_us: int, most: int) -> Points:
        return Points.concat([])


def memory(floor_us: int = NEVER_US) -> PartitionMemory:
    return PartitionMemory(Deduplicator(0, NOTHING, NOTHING, floor_us))


def judge(stage: PartitionMemory, table: SeriesTable, series: list[int], **given: list[int]) -> list[int]:
    rows = columns(series, **given)
    outcome = stage.judge(rows, rows.series, table, ["", "gw-1", "gw-2"], Empty())
    stage.apply(outcome)
    return [int(each) for each in outcome.judgement.disposition]


def test_two_tenants_may_call_their_producers_the_same() -> None:
    table = SeriesTable()
    for tenant in ("a", "b"):
        table.intern(SeriesKey(tenant, "pump", "rpm"))
    stage = memory()
    first = judge(stage, table, [0, 0], producer=[1, 1], epoch=[1, 1], sequence=[0, 1])
    other = judge(stage, table, [1, 1], producer=[1, 1], epoch=[1, 1], sequence=[0, 1])
    assert first == other == [Disposition.WRITTEN] * 2
    assert stage.state(Producer("a", "gw-1")).seen == [(0, 2)]
    assert stage.state(Producer("b", "gw-1")).seen == [(0, 2)]


def test_a_number_used_for_another_reading_is_a_conflict_and_says_so() -> None:
    table, stage = series_table("rpm"), memory()
    judge(stage, table, [0], producer=[1], epoch=[1], sequence=[5])
    rows = columns([0], producer=[1], epoch=[1], sequence=[5], time_us=[BASE_US + 7])
    outcome = stage.judge(rows, rows.series, table, ["", "gw-1"], Empty())
    assert outcome.judgement.disposition.tolist() == [Disposition.CONFLICT]
    assert outcome.rejections[0].reason is Reason.CONFLICT
    assert "sequence 5 was used before" in outcome.rejections[0].detail


def test_a_reading_that_is_judged_elsewhere_counts_as_arrived() -> None:
    table, stage = series_table("rpm", "load"), memory()
    rows = columns([0, 1, 0], producer=[1] * 3, epoch=[1] * 3, sequence=[0, 1, 2])
    own = np.array([True, False, True])
    outcome = stage.judge(rows, rows.series, table, ["", "gw-1"], Empty(), own)
    stage.apply(outcome)
    assert outcome.judgement.disposition.tolist() == [Disposition.WRITTEN] * 2
    assert stage.state(Producer("default", "gw-1")).seen == [(0, 3)]


def test_a_producer_without_a_name_has_no_numbers() -> None:
    table, stage = series_table("rpm"), memory()
    times = [[BASE_US], [BASE_US + 1]]
    for time_us in times:
        assert judge(stage, table, [0], producer=[0], epoch=[1], sequence=[5], time_us=time_us) == [
            Disposition.WRITTEN
        ]


def test_a_reading_from_before_what_is_kept_is_refused_unless_its_number_tells_a_repeat() -> None:
    table = series_table("rpm")
    stage = memory()
    judge(stage, table, [0], producer=[1], epoch=[1], sequence=[5])
    stage._deduplicator.floor_us = BASE_US + 1
    rows = columns([0, 0], producer=[1, 1], epoch=[1, 1], sequence=[5, 6], time_us=[BASE_US, BASE_US - 1])
    outcome = stage.judge(rows, rows.series, table, ["", "gw-1"], Empty())
    assert outcome.judgement.disposition.tolist() == [Disposition.DUPLICATE, Disposition.EXPIRED]
    assert [refused.reason for refused in outcome.rejections] == [Reason.EXPIRED]
