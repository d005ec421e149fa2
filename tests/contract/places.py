"""The adapters of ``ReadingsSink``, and what a test sees of what they stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

import psycopg

from schemas.anomaly import decode_anomaly
from schemas.topics import ANOMALIES
from sinks.memory import MemorySink, MemoryStore, StoredReading
from sinks.protocols import Partition, ReadingsSink
from sinks.timescale.anomalies import document
from sinks.timescale.detectors import Detecting
from sinks.timescale.sink import Bounds, TimescaleSink
from sinks.timescale.times import EPOCH
from streams.core.detect.choice import Choice
from streams.core.rejection import Reason, Rejection
from streams.core.watch import parameters_of


class Place(Protocol):
    """One place that readings go to: makes sinks on it, and shows what is visible there."""

    together: bool
    """Whether the parts of a flush become visible together."""

    def sink(
        self, owner: str, max_series_per_tenant: int = 1000, choice: Choice | None = None
    ) -> ReadingsSink:
        """Return the sink of one more worker, whose detectors look at what is chosen, or at nothing."""

    def readings(self) -> list[StoredReading]:
        """Return what is stored, by series and time."""

    def dead_letters(self) -> list[tuple[Partition, Rejection]]:
        """Return what is stored, by partition, offset and index."""

    def dirty(self) -> list[tuple[str, int]]:
        """Return the dirty minutes, by metric and the microsecond in which each begins; sorted."""

    def late_by(self, partition: Partition) -> dict[float, int]:
        """Return how many late readings of a partition there are by how late they are."""

    def anomalies(self) -> list[tuple[dict[str, Any], bool]]:
        """Return the episodes that are stored, as they would be told, and whether something late fell into
        each; by series and start.
        """

    def told(self) -> list[dict[str, Any]]:
        """Return what was told of episodes, by series, start and revision."""

    def attributes(self, metric: str) -> dict[str, str]:
        """Return what is known about the series of that metric."""

    def empty(self) -> None:
        """Forget all that is stored."""

    def close(self) -> None:
        """Close every sink."""


class MemoryPlace:
    """A place in memory."""

    together = True

    def __init__(self) -> None:
        self._store = MemoryStore()

    def sink(
        self, owner: str, max_series_per_tenant: int = 1000, choice: Choice | None = None
    ) -> ReadingsSink:
        self._parameters = "" if choice is None else parameters_of(choice)
        return MemorySink(self._store, max_series_per_tenant, choice)

    def readings(self) -> list[StoredReading]:
        return sorted(self._store.readings, key=lambda r: (r.series, r.time_us))

    def dead_letters(self) -> list[tuple[Partition, Rejection]]:
        return sorted(self._store.dead_letters, key=_in_log)

    def dirty(self) -> list[tuple[str, int]]:
        return sorted((name[2], bucket_us) for name, bucket_us in self._store.dirty)

    def late_by(self, partition: Partition) -> dict[float, int]:
        counted = self._store.late_by.items()
        return {up_to_s: count for (of, up_to_s), count in counted if of == partition and count}

    def anomalies(self) -> list[tuple[dict[str, Any], bool]]:
        found = [
            (document(each.anomaly, each.series, self._parameters), each.late)
            for each in self._store.anomalies.values()
        ]
        return sorted(found, key=lambda each: _of_episode(each[0]))

    def told(self) -> list[dict[str, Any]]:
        names = list(self._store.attributes)
        told = [document(each, names[each.series_id], self._parameters) for each in self._store.told]
        return sorted(told, key=_of_episode)

    def attributes(self, metric: str) -> dict[str, str]:
        return next(said for name, said in self._store.attributes.items() if name[2] == metric)

    def empty(self) -> None:
        self._store = MemoryStore()

    def close(self) -> None:
        """Nothing is open."""


EVERYTHING = (
    "readings, series, tenants, progress, dead_letters, reading_versions, producers, producer_journal, "
    "outbox, halts, dirty_buckets, late_readings, anomalies, detection, detector_states"
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
        self.empty()

    def sink(
        self, owner: str, max_series_per_tenant: int = 1000, choice: Choice | None = None
    ) -> ReadingsSink:
        bounds = replace(self._bounds, max_series_per_tenant=max_series_per_tenant)
        detecting = None if choice is None else Detecting(choice)
        self._sinks.append(TimescaleSink(self._writer_dsn, owner, bounds, detecting=detecting))
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

    def anomalies(self) -> list[tuple[dict[str, Any], bool]]:
        rows = self._look.execute(
            """
            SELECT episode::text, revision, tenant, source, metric, state,
                   (ARRAY['low', 'medium', 'high', 'critical'])[severity],
                   (extract(epoch FROM started_at) * 1000000)::bigint,
                   (extract(epoch FROM peak_at) * 1000000)::bigint,
                   (extract(epoch FROM ended_at) * 1000000)::bigint,
                   direction, score, detector, reason, observed, expected, band, statistic, parameters, late
            FROM anomalies JOIN series USING (series_id)
            """
        )
        found = [(dict(zip(FIELDS, row, strict=True)), late) for *row, late in rows]
        return sorted(found, key=lambda each: _of_episode(each[0]))

    def told(self) -> list[dict[str, Any]]:
        rows = self._look.execute("SELECT value FROM outbox WHERE topic = %s ORDER BY id", (ANOMALIES,))
        told = [decode_anomaly(message) for (message,) in rows]
        for name in ("start", "peak", "end"):
            for each in told:
                if each[name] is not None:
                    each[name] = round((each[name] - EPOCH) / timedelta(microseconds=1))
        return sorted(told, key=_of_episode)

    def attributes(self, metric: str) -> dict[str, str]:
        row = self._look.execute("SELECT attributes FROM series WHERE metric = %s", (metric,)).fetchone()
        assert row is not None
        return dict(row[0])

    def empty(self) -> None:
        self._look.execute(f"TRUNCATE {EVERYTHING}")

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()
        self._look.close()


FIELDS = (
    "episode", "revision", "tenant", "source", "metric", "state", "severity", "start", "peak", "end",
    "direction", "score", "detector", "reason", "observed", "expected", "band", "statistic", "parameters",
)  # fmt: skip


def _of_episode(told: dict[str, Any]) -> tuple[object, ...]:
    return told["source"], told["metric"], told["start"], told["revision"]


def _in_log(letter: tuple[Partition, Rejection]) -> tuple[object, ...]:
    partition, rejection = letter
    return partition, rejection.offset, rejection.index, rejection.detail
