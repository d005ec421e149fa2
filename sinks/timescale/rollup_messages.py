"""Closed buckets told on Kafka: one message for each revision of each, in the outbox of who stored it.

The key names the bucket, so that a compacted topic keeps a revision of each. Mostly that is the highest: a
revision is stored after the one before was committed. But the outbox may be sent by two relays for a
moment, where one was taken for dead. Whoever reads keeps the highest ``revision``, not the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from schemas.rollup import encode_rollup
from schemas.topics import ROLLUPS
from sinks.timescale.outbox import copy_messages
from sinks.timescale.rollups import ROWS_AT_ONCE, Level, pieces, widths_of
from sinks.timescale.session import Connection
from streams.core.aggregate import Aggregates
from streams.core.batch import Int32
from streams.core.rollup import Closing

_NAMES = "SELECT series_id, tenant, source, metric FROM series WHERE series_id = ANY(%s)"

Names = Mapping[int, tuple[str, str, str]]


class Told(NamedTuple):
    """Which levels are told, by name, and on which topic."""

    levels: frozenset[str] = frozenset()
    topic: str = ROLLUPS

    @staticmethod
    def of(levels: str, topic: str) -> Told:
        """Return the setting as it is written.

        >>> sorted(Told.of("1h,1d", "rollups").levels), sorted(Told.of("none", "rollups").levels)
        (['1d', '1h'], [])
        """
        return Told(frozenset(levels.split(",")) - {"none"}, topic)


NOTHING_TOLD = Told()


def tell_closed(session: Connection, closings: Sequence[Closing], told: Told) -> None:
    """Tell of the buckets that a flush closes, in its transaction."""
    for level in map(Level.of, widths_of(closings)):
        if level.name in told.levels:
            for rows in pieces(closings, level):
                tell(session, level, rows, np.zeros(len(rows.readings), np.int32), told.topic)


def tell(session: Connection, level: Level, rows: Aggregates, revision: Int32, topic: str) -> None:
    """Put messages about these rows and their revisions into the outbox, in the open transaction."""
    for start in range(0, len(revision), ROWS_AT_ONCE):
        some = np.arange(start, min(start + ROWS_AT_ONCE, len(revision)))
        part = rows.take(some)
        known = session.execute(_NAMES, (np.unique(part.series_id).tolist(),))
        names = {number: (tenant, source, metric) for number, tenant, source, metric in known}
        copy_messages(session, topic, messages(level.name, part, revision[some], names))


def messages(
    level: str, rows: Aggregates, revisions: Int32, names: Names
) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield event id, key and value of the message of each row, but for series that are deleted."""
    columns = (column.tolist() for column in rows)
    for revision, row in zip(revisions.tolist(), zip(*columns, strict=True), strict=True):
        series_id, time_us, readings, bad, *values = row
        if series_id not in names:
            continue
        tenant, source, metric = names[series_id]
        key = f"{series_id}/{level}/{time_us}"
        value = {
            "series_id": series_id,
            "tenant": tenant,
            "source": source,
            "metric": metric,
            "level": level,
            "time": time_us,
            "revision": revision,
            "readings": readings,
            "bad": bad,
            # Named: otherwise the encoder tries each field to find out which record it is.
            "values": (_RECORD, dict(zip(_VALUES, values, strict=True))) if bad < readings else None,
        }
        yield f"{key}/{revision}", key.encode(), encode_rollup(value)


_RECORD = "streamgauge.RollupValues"
_VALUES = ("sum", "min", "max", "first", "first_at", "last", "last_at", "m2", "increase", "integral")
"""The fields of ``values``, in the order of :class:`~streams.core.aggregate.Aggregates`."""
