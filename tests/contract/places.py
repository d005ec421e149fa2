"""The adapters of ``ReadingsSink``, and what a test sees of what they stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import psycopg

from sinks.memory import MemorySink, MemoryStore, StoredReading
from sinks.protocols import Partition, ReadingsSink
from sinks.timescale.sink import Bounds, TimescaleSink
from streams.core.rejection import Reason, Rejection


class Place(Protocol):
    """One place that readings go to: makes sinks on it, and shows what is visible there."""

    together: bool
    """Whether the parts of a flush become visible together."""

    def sink(self, owner: str, max_series_per_tenant: int = 1000) -> ReadingsSink:
        """Return the sink of one more worker."""

    def readings(self) -> list[StoredReading]:
        """Return what is stored, by series and time."""

    def dead_letters(self) -> list[tuple[Partition, Rejection]]:
        """Return what is stored, by partition, offset and index."""

    def dirty(self) -> list[tuple[str, int]]:
        """Return the dirty minutes, by metric and the microsecond in which each begins; sorted."""

    def late_by(self, partition: Partition) -> dict[float, int]:
        """Return how many late readings of a partition there are by how late they are."""

    def attributes(self, metric: str) -> dict[str, str]:
        """Return what is known about the series of that metric."""

    def close(self) -> None:
        """Close every sink."""


class MemoryPlace:
    """A place in memory."""

    together = True

    def __init__(self) -> None:
        self._store = MemoryStore()

    def sink(self, owner: str, max_series_per_tenant: int = 1000) -> ReadingsSink:
        return MemorySink(self._store, max_series_per_tenant)

    def readings(self) -> list[StoredReading]:
        return sorted(self._store.readings, key=lambda r: (r.series, r.time_us))

    def dead_letters(self) -> list[tuple[Partition, Rejection]]:
        return sorted(self._store.dead_letters, key=_in_log)

    def dirty(self) -> list[tuple[str, int]]:
        return sorted((name[2], bucket_us) for name, bucket_us in self._store.dirty)

    def late_by(self, partition: Partition) -> dict[float, int]:
        counted = self._store.late_by.items()
        return {up_to_s: count for (of, up_to_s), count in counted if of == partition and count}

    def attributes(self, metric: str) -> dict[str, str]:
        return next(said for name, said in self._store.attributes.items() if name[2] == metric)

    def close(self) -> None:
        """Nothing is open."""


EVERYTHING = (
    "readings, series, tenants, progress, dead_letters, reading_versions, producers, producer_journal, "
    "outbox, halts, dirty_buckets, late_readings"
)


class TimescalePlace:
    """A migrated database, emptied."""

    def __init__(self, owner_dsn: str, writer_dsn: str, bounds: Bounds) -> None:
        self._writer_dsn = writer_dsn
        self._bounds = bounds
        self.together = bounds.parallel_rows > 0
        self._sinks: list[TimescaleSink] = []
        self._look = psycopg.connect(owner_dsn, autocommit=True)
        self._look.execute("SET search_path TO public; SET timezone TO 'UTC'")
        self._look.execute(f"TRUNCATE {EVERYTHING}")

    def sink(self, owner: str, max_series_per_tenant: int = 1000) -> ReadingsSink:
        bounds = replace(self._bounds, max_series_per_tenant=max_series_per_tenant)
        self._sinks.append(TimescaleSink(self._writer_dsn, owner, bounds))
        return self._sinks[-1]

    def readings(self) -> list[StoredReading]:
        rows = self._look.execute(
            """
            SELECT tenant, source, metric, (extract(epoch FROM ts) * 1000000)::bigint,
                   r.value, r.quality, r.late
            FROM readings AS r JOIN series USING (series_id)
            """
        )
        found = [StoredReading((tenant, source, metric), *rest) for tenant, source, metric, *rest in rows]
        return sorted(found, key=lambda r: (r.series, r.time_us))

    def dead_letters(self) -> list[tuple[Partition, Rejection]]:
        rows = self._look.execute(
            """
            SELECT topic, partition, "offset", index, reason, detail, payload, payload_bytes
            FROM dead_letters
            """
        )
        found = [
            (Partition(topic, number), Rejection(offset, index, Reason(reason), detail, payload, length))
            for topic, number, offset, index, reason, detail, payload, length in rows
        ]
        return sorted(found, key=_in_log)

    def dirty(self) -> list[tuple[str, int]]:
        return sorted(
            self._look.execute(
                "SELECT metric, (extract(epoch FROM bucket) * 1000000)::bigint"
                " FROM dirty_buckets JOIN series USING (series_id)"
            )
        )

    def late_by(self, partition: Partition) -> dict[float, int]:
        rows = self._look.execute(
            "SELECT up_to_s, readings FROM late_readings WHERE topic = %s AND partition = %s",
            (partition.topic, partition.number),
        )
        return dict(rows.fetchall())

    def attributes(self, metric: str) -> dict[str, str]:
        row = self._look.execute("SELECT attributes FROM series WHERE metric = %s", (metric,)).fetchone()
        assert row is not None
        return dict(row[0])

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()
        self._look.close()


def _in_log(letter: tuple[Partition, Rejection]) -> tuple[object, ...]:
    partition, rejection = letter
    return partition, rejection.offset, rejection.index, rejection.detail
