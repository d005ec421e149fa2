"""Judges the log of a partition anew, from its first record to the last that is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from jobs.verify.anomalies import compare_anomalies
from jobs.verify.compare import copy_expected, copy_expected_dirty, copy_handed_over
from jobs.verify.homes import Homes
from jobs.verify.log import Bounds, Log
from jobs.verify.oracle import Fate, Oracle, Reading, Row
from jobs.verify.report import PartitionReport
from jobs.verify.snapshot import Connection, Home, Order, Stored, load_dead_letters
from sinks.timescale.detectors import Detecting
from streams.core.batch import Messages
from streams.core.pipeline import Pipeline, Staged
from streams.core.rejection import Reason
from streams.core.watermark import Patience

_TOLD_BY_DEAD_LETTERS = (Reason.SERIES_LIMIT, Reason.EXPIRED)
"""Refused for what the database held at that moment: of these its dead letters are believed."""


class Replay:
    """Replays partitions of ``topic`` one after the other, and leaves what must be stored in ``session``.

    It holds one partition's oracle and the forwarded readings of that partition, 300 bytes each.
    """

    def __init__(
        self,
        session: Connection,
        log: Log,
        topic: str,
        pipeline: Pipeline,
        homes: Homes,
        patience: Patience,
        detecting: Detecting,
    ) -> None:
        self._session = session
        self._log = log
        self._topic = topic
        self._pipeline = pipeline
        self._homes = homes
        self._patience = patience
        self._detecting = detecting

    def __call__(self, stored: Stored, log: Bounds | None) -> PartitionReport:
        """Return what the log gives up to the stored offset; nothing where there is no log."""
        if log is None:
            return PartitionReport(stored, None)
        own, cut = (self._topic, stored.partition), PartitionReport(stored, log).is_cut
        reasons = (*_TOLD_BY_DEAD_LETTERS, Reason.CONFLICT) if cut else _TOLD_BY_DEAD_LETTERS
        refused = load_dead_letters(self._session, *own, reasons)
        poison = {offset for offset, _ in load_dead_letters(self._session, *own, (Reason.POISON,))}
        oracle = Oracle(self._patience, conflicts_known=cut)
        handed_over: dict[tuple[int, int], Row] = {}
        records = readings = 0
        for fetched in self._log.read(stored.partition, log.start, min(stored.next_offset, log.end)):
            decided = without(fetched, stored.left_out or [])
            messages = without(decided, [(offset, offset + 1) for offset in poison])
            staged = self._pipeline(messages)
            records += len(decided)
            oracle.counts[Fate.DEAD_LETTER] += len(decided) - len(messages)
            readings += len(staged.decoded.columns)
            oracle.counts[Fate.DEAD_LETTER] += len(staged.decoded.rejections)
            for place, home, reading in self._readings(staged):
                if place in refused:
                    oracle.judge(reading, Fate.DEAD_LETTER)
                elif home.partition not in (own, None):
                    oracle.judge(reading, Fate.FORWARDED)
                    handed_over[reading[:2]] = Row(*reading[:4])
                else:
                    oracle.judge(reading)
        copy_expected(self._session, oracle.stored())
        copy_expected_dirty(self._session, oracle.dirty)
        copy_handed_over(self._session, handed_over.values())
        released = 0
        if stored.released_to_us is not None:
            released = sum(1 for _ in oracle.released(stored.released_to_us))
            if not cut:
                seen = oracle.released(stored.released_to_us)
                compare_anomalies(self._session, *own, self._detecting, seen, oracle.belated)
        order = Order(oracle.watermark_us, released, sum(oracle.late_by.values()), dict(oracle.late_by))
        return PartitionReport(stored, log, records, readings, oracle.counts, order)

    def _readings(self, staged: Staged) -> Iterator[tuple[tuple[int, int], Home, Reading]]:
        """Yield offset and index, home, and the reading itself, in log order."""
        homes, keys = self._homes.of(staged.series), staged.series.keys
        columns = staged.decoded.columns
        places = zip(columns.offset.tolist(), columns.index.tolist(), strict=True)
        contents = zip(
            columns.time_us.tolist(),
            columns.value.view(np.int64).tolist(),
            columns.quality.tolist(),
            columns.revision.tolist(),
            strict=True,
        )
        numbers = zip(
            columns.epoch.tolist(), columns.sequence.tolist(), columns.stamp_ms.tolist(), strict=True
        )
        of_each = zip(
            places, columns.series.tolist(), contents, columns.producer.tolist(), numbers, strict=True
        )
        for place, series, content, producer, number in of_each:
            home = homes[series]
            sender = (keys[series].tenant, staged.producers[producer])
            yield place, home, Reading(home.series_id, *content, sender, *number)


def without(messages: Messages, ranges: Sequence[tuple[int, int]]) -> Messages:
    """Return those messages whose offsets lie in none of the ``ranges`` ``[start, end)``.

    >>> without(Messages([b"a", b"b"], [None, None], np.array([4, 5]), np.array([0, 0])), [(5, 9)]).values
    [b'a']
    """
    offsets = messages.offsets
    kept = np.ones(len(offsets), np.bool_)
    for start, end in ranges:
        kept &= (offsets < start) | (offsets >= end)
    if kept.all():
        return messages
    rows = np.flatnonzero(kept).tolist()
    return Messages(
        [messages.values[row] for row in rows],
        [messages.keys[row] for row in rows],
        offsets[kept],
        messages.timestamps_ms[kept],
    )
