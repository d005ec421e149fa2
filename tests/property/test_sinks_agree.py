"""The sink in memory is the model of the real one: whatever workers do, both answer and store the same."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinks.protocols import Fenced, Part, ReadingsSink, Written
from sinks.timescale.sink import Bounds
from streams.core.rejection import WHOLE_RECORD, Reason, Rejection
from streams.core.series import SeriesTable
from tests.builders import BASE_US, P0, P1, columns, flush_of, series_table
from tests.contract.places import MemoryPlace, Place, TimescalePlace
from tests.databases import as_writer

pytestmark = pytest.mark.stack

WORKERS = ["a", "b"]
TABLES = [series_table("m0", "m1", "m2", "m3"), series_table("m3", "m4", "m0")]
LIMIT = 4


@dataclass(frozen=True)
class Claim:
    worker: int
    partition: int


@dataclass(frozen=True)
class Write:
    """A flush of the partitions that the worker has claimed, at the position it believes in.

    ``readings`` are series, event time in quarters of a minute, value and revision of each.
    """

    worker: int
    partitions: tuple[int, ...]
    readings: tuple[tuple[int, int, int, int], ...]
    rejections: int
    table: int


numbers = st.integers(0, 1)
claims = st.builds(Claim, numbers, numbers)
writes = st.builds(
    Write,
    worker=numbers,
    partitions=st.lists(numbers, min_size=1, max_size=2, unique=True).map(tuple),
    readings=st.lists(st.tuples(st.integers(0, 2), *[st.integers(0, 3)] * 3), max_size=6).map(tuple),
    rejections=st.integers(0, 2),
    table=numbers,
)


class Workers:
    """Two workers on one place, who believe that what they claimed last is theirs.

    ``apart``: each writes the parts of a flush one by one.
    """

    def __init__(self, place: Place, *, apart: bool = False) -> None:
        self._apart = apart
        self._sinks: list[ReadingsSink] = [place.sink(name, LIMIT) for name in WORKERS]
        self._positions: dict[tuple[int, int], tuple[int, int]] = {}
        self._ticks = count()

    def do(self, step: Claim | Write) -> object:
        """Take one step and return what it answered."""
        if isinstance(step, Write):
            return self._write(step, TABLES[step.table])
        progress = self._sinks[step.worker].claim([P0, P1][step.partition], WORKERS[step.worker], 10)
        self._positions[step.worker, step.partition] = (progress.epoch, progress.next_offset)
        return progress

    def _write(self, step: Write, table: SeriesTable) -> object:
        parts = [self._part(step, partition) for partition in step.partitions]
        flushes = [[part] for part in parts] if self._apart else [parts]
        written = []
        for some in flushes:
            with suppress(Fenced):
                written.append(self._sinks[step.worker].write(flush_of(table, *some)))
        if len(written) < len(flushes):
            return Fenced
        for part in parts:
            self._positions[step.worker, part.partition.number] = (part.epoch, part.next)
        return Written(*map(sum, zip(*written, strict=True)))

    def _part(self, step: Write, number: int) -> Part:
        epoch, base = self._positions.get((step.worker, number), (1, 10))
        series, quarters, values, revisions = zip(*step.readings, strict=True) if step.readings else [()] * 4
        rows = columns(
            series,
            time_us=[BASE_US + 15_000_000 * quarter for quarter in quarters],
            value=values,
            revision=revisions,
            offset=[base] * len(series),
            index=range(len(series)),
            stamp_ms=[BASE_US // 1000 + 10_000 * next(self._ticks) for _ in series],
        )
        letters = [
            Rejection.of(base, WHOLE_RECORD, Reason.EMPTY, f"{letter}", b"")
            for letter in range(step.rejections)
        ]
        return Part([P0, P1][number], epoch, base, base + 3, [rows], letters)


TOGETHER = Bounds(slice_rows=1)
SIDE_BY_SIDE = Bounds(slice_rows=1, parallel_rows=0)


@pytest.mark.parametrize("bounds", [TOGETHER, SIDE_BY_SIDE], ids=["together", "side-by-side"])
@settings(max_examples=40, deadline=None)
@given(steps=st.lists(claims | writes, max_size=12))
def test_both_adapters_answer_and_store_the_same(
    database: str, bounds: Bounds, steps: list[Claim | Write]
) -> None:
    model, real = MemoryPlace(), TimescalePlace(database, as_writer(database), bounds)
    try:
        modelled, actual = Workers(model, apart=bounds is SIDE_BY_SIDE), Workers(real)
        for step in steps:
            assert actual.do(step) == modelled.do(step)
        assert real.readings() == model.readings()
        assert real.dead_letters() == model.dead_letters()
        assert real.dirty() == model.dirty()
    finally:
        real.close()
