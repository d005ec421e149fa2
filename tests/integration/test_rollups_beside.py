"""Of a flush that is stored over two connections, each closes the buckets of its own partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import psycopg
import pytest

from sinks.judging import JudgedPart
from sinks.protocols import Flush, Part, Partition, SinkUnavailable
from sinks.timescale import transaction
from sinks.timescale.refresh import refresh_some
from sinks.timescale.session import Connection
from sinks.timescale.sink import Bounds, TimescaleSink
from streams.core.levels import MINUTE_US
from tests.builders import columns, flush_of, series_table
from tests.databases import as_writer
from tests.integration.rollups import HOUR_US, LEVELS, START_US, misrolled, rows_of

pytestmark = pytest.mark.stack

PARTITIONS = [Partition("readings", number) for number in range(3)]
SERIES = [f"metric-{number}" for number in range(1, 10)]
STEPS_US = [5_000_000, 40_000_000, 8 * MINUTE_US, 70 * MINUTE_US, 9 * HOUR_US]


class Log:
    """Partitions of three series each, whose readings come in time, late, once more, or corrected."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.table = series_table(*SERIES)
        self.ends = dict.fromkeys(PARTITIONS, 0)
        self._now_us = START_US
        self._sent: list[list[tuple[int, int, float, int]]] = [[] for _ in PARTITIONS]

    def flush(self, epochs: Sequence[int]) -> Flush:
        """Return what comes next of two partitions or of all, in the epoch of each."""
        self._now_us += int(self.random.choice(STEPS_US))
        numbers = self.random.permutation(3)[: self.random.integers(2, 4)].tolist()
        return flush_of(self.table, *(self._part(number, epochs[number]) for number in numbers))

    def _part(self, number: int, epoch: int) -> Part:
        some = [self._reading(number) for _ in range(20)]
        self._sent[number] += some
        partition, (series, time_us, value, revision) = PARTITIONS[number], zip(*some, strict=True)
        base = self.ends[partition]
        self.ends[partition] += len(some)
        rows = columns(
            series,
            time_us=time_us,
            value=value,
            revision=revision,
            offset=range(base, base + len(some)),
            stamp_ms=[self._now_us // 1000] * len(some),
        )
        return Part(partition, epoch, base, base + len(some), [rows])

    def _reading(self, number: int) -> tuple[int, int, float, int]:
        random, sent = self.random, self._sent[number]
        if sent and random.random() < 0.1:
            series, time_us, value, revision = sent[random.integers(len(sent))]
            return (
                series,
                time_us,
                *((value, revision) if random.random() < 0.5 else (value + 1, revision + 1)),
            )
        ago_us = int(random.integers(10_000_000 if random.random() < 0.7 else 2 * HOUR_US))
        series = 3 * number + int(random.integers(3))
        return series, self._now_us - ago_us, float(random.normal()), 0


class Faults:
    """Has one of two connections end before it commits, or lose the answer that it did."""

    def __init__(self) -> None:
        self.next: tuple[Partition, str] | None = None
        self.used: list[set[int]] = [set()]
        self._commit = transaction.advance_and_commit

    def advance_and_commit(self, session: Connection, parts: Sequence[JudgedPart], kept_from_us: int) -> None:
        self.used[-1].add(session.info.backend_pid)
        if self.next is None or self.next[0] not in [judged.part.partition for judged in parts]:
            self._commit(session, parts, kept_from_us)
            return
        (_, when), self.next = self.next, None
        if when == "after":
            self._commit(session, parts, kept_from_us)
        session.close()
        raise psycopg.OperationalError("the connection is lost")


def store(sink: TimescaleSink, flush: Flush) -> None:
    """Write as workers do: what progress says is not stored is written again."""
    while flush.parts:
        try:
            sink.write(flush)
        except SinkUnavailable:
            stored = sink.progress(PARTITIONS)
            left = [part for part in flush.parts if stored[part.partition].next_offset == part.base]
            flush = replace(flush, parts=left)
        else:
            return


@pytest.mark.parametrize("seed", range(2))
def test_after_any_failure_of_either_rollups_are_what_the_readings_make(
    database: str, writer: Connection, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, faults = Log(seed), Faults()
    monkeypatch.setattr(transaction, "advance_and_commit", faults.advance_and_commit)
    failed = 0
    for owner in ("first", "second", "third"):
        sink = TimescaleSink(as_writer(database), owner, Bounds(slice_rows=8, parallel_rows=2))
        epochs = [sink.claim(partition, owner, 0).epoch for partition in PARTITIONS]
        for _ in range(12):
            flush = log.flush(epochs)
            if log.random.random() < 0.3:
                lost = flush.parts[log.random.integers(len(flush.parts))].partition
                faults.next = lost, str(log.random.choice(["before", "after"]))
                failed += 1
            faults.used.append(set())
            store(sink, flush)
            if log.random.random() < 0.2:
                refresh_some(writer, most=20)
        sink.close()
        assert misrolled(database) == {}  # but for what is marked

    while refresh_some(writer):
        pass
    assert misrolled(database) == {}
    for level in LEVELS:
        assert len(set(rows_of(writer, level).series_id.tolist())) == len(SERIES)
    assert failed
    assert faults.next is None
    assert all(len(sessions) >= 2 for sessions in faults.used[1:]), "not two connections"
