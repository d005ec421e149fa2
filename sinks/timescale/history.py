"""What the database holds of single readings, and of one partition as a whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from sinks.protocols import Partition
from sinks.timescale.journal import load_producers
from sinks.timescale.session import Connection
from streams.core.batch import Int64
from streams.core.deduplicate import KEPT_FOREVER_US, Deduplicator
from streams.core.identities import Stored
from streams.core.partition import PartitionMemory

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ASKED_PER_CALL = 20_000

_STORED = """
    SELECT asked.nth, r.value, r.quality
    FROM unnest(%s::int[], %s::timestamptz[]) WITH ORDINALITY AS asked (series_id, ts, nth)
    JOIN readings AS r ON r.series_id = asked.series_id AND r.ts = asked.ts
    WHERE r.ts BETWEEN %s AND %s
"""
_REVISION = "SELECT coalesce(max(revision), 0) FROM reading_versions WHERE series_id = %s AND ts = %s"
_LATEST = "SELECT series_id, extract(epoch FROM latest) * 1000000 FROM latest_readings(%s, %s)"
_KEPT_FROM = (
    "SELECT CASE WHEN isfinite(kept_from) THEN extract(epoch FROM kept_from) * 1000000 END FROM raw_retention"
)


def timestamp(time_us: int) -> datetime:
    """Return microseconds since 1970 as PostgreSQL takes them, exactly."""
    return EPOCH + timedelta(microseconds=time_us)


class DatabaseHistory:
    """Looks readings up in the database (:class:`~streams.core.deduplicate.History`)."""

    def __init__(self, session: Connection) -> None:
        self._session = session

    def stored(self, series_id: Int64, time_us: Int64) -> Stored:
        """Look identities up, day by day, so that each query touches the chunks of its own days."""
        found = Stored.nothing(len(series_id))
        by_time = np.argsort(time_us, kind="stable")
        for start in range(0, len(by_time), _ASKED_PER_CALL):
            asked = by_time[start : start + _ASKED_PER_CALL]
            times = [timestamp(time) for time in time_us[asked].tolist()]
            for nth, value, quality in self._session.execute(
                _STORED, (series_id[asked].tolist(), times, times[0], times[-1])
            ):
                row = asked[nth - 1]
                found.found[row], found.value[row], found.quality[row] = True, value, quality
        return found

    def revision(self, series_id: int, time_us: int) -> int:
        """Return the revision of a stored reading; 0 where none was ever recorded."""
        ((revision,),) = self._session.execute(_REVISION, (series_id, timestamp(time_us))).fetchall()
        return int(revision)


def kept_from_us(session: Connection) -> int:
    """Return from when on readings are kept, in microseconds since 1970."""
    ((kept_from,),) = session.execute(_KEPT_FROM).fetchall()
    return KEPT_FOREVER_US if kept_from is None else int(kept_from)


def load_memory(session: Connection, partition: Partition, floor_us: int, max_bytes: int) -> PartitionMemory:
    """Return what a partition's owner must know of it before it stores more."""
    name = (partition.topic, partition.number)
    latest = session.execute(_LATEST, name).fetchall()
    series_id = np.array([row[0] for row in latest], np.int64)
    latest_us = np.array([int(row[1]) for row in latest], np.int64)
    deduplicator = Deduplicator(max_bytes, series_id, latest_us, floor_us)
    return PartitionMemory(deduplicator, load_producers(session, partition))
