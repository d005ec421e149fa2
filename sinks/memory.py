"""The sinks' ports kept in memory: for tests of what is built on them, and to run without services.

Several sinks on one store behave as several workers on one database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np

from sinks.protocols import Fenced, Flush, Part, Partition, Progress, Written
from sinks.refusal import refuse_series
from streams.core.rejection import Rejection
from streams.core.series import SeriesKey, SeriesTable

SeriesName = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class StoredReading:
    """One reading as a sink stored it; ``time_us`` in microseconds since 1970."""

    series: SeriesName
    time_us: int
    value: float
    quality: int


@dataclass(slots=True)
class MemoryStore:
    """What every sink on this store has made visible."""

    progress: dict[Partition, Progress] = field(default_factory=dict)
    readings: list[StoredReading] = field(default_factory=list)
    dead_letters: list[tuple[Partition, Rejection]] = field(default_factory=list)
    attributes: dict[SeriesName, dict[str, str]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)


class MemorySink:
    """Stores flushes in a :class:`MemoryStore` (:class:`~sinks.protocols.ReadingsSink`)."""

    def __init__(self, store: MemoryStore, max_series_per_tenant: int = 1_000_000) -> None:
        self._store = store
        self._max_series_per_tenant = max_series_per_tenant

    def claim(self, partition: Partition, owner: str, start: int) -> Progress:
        """Take ``partition`` over; see :class:`~sinks.protocols.ReadingsSink`."""
        with self._store.lock:
            before = self._store.progress.get(partition, Progress(0, start, owner))
            claimed = Progress(before.epoch + 1, before.next_offset, owner)
            self._store.progress[partition] = claimed
            return claimed

    def progress(self, partitions: list[Partition]) -> dict[Partition, Progress]:
        """Return the stored progress of those ``partitions`` that have one."""
        with self._store.lock:
            stored = self._store.progress
            return {partition: stored[partition] for partition in partitions if partition in stored}

    def write(self, flush: Flush) -> Written:
        """Make the flush visible, or none of it; see :class:`~sinks.protocols.ReadingsSink`."""
        with self._store.lock:
            # Series are registered whatever becomes of the flush: its readings will come again.
            parts = self._admit(flush)
            for part in parts:
                self._check(part)
            for part in parts:
                self._store_part(part, flush.series)
        return Written(
            sum(len(columns) for part in parts for columns in part.columns),
            sum(len(part.rejections) for part in parts),
        )

    def close(self) -> None:
        """Keep the store as it is: it belongs to whoever made it."""

    def _check(self, part: Part) -> None:
        stored = self._store.progress.get(part.partition)
        if stored is None or (stored.epoch, stored.next_offset) != (part.epoch, part.base):
            raise Fenced(f"{part.partition} is not at offset {part.base} under epoch {part.epoch}")

    def _admit(self, flush: Flush) -> list[Part]:
        columns = [columns for part in flush.parts for columns in part.columns]
        if not columns:
            return flush.parts
        series = np.concatenate([each.series for each in columns])
        refused_keys = [
            index for index in np.unique(series).tolist() if not self._registered(flush.series.keys[index])
        ]
        return refuse_series(flush.parts, np.isin(series, refused_keys), flush.series)

    def _registered(self, key: SeriesKey) -> bool:
        known = self._store.attributes
        if key[:3] not in known:
            if sum(tenant == key.tenant for tenant, _, _ in known) >= self._max_series_per_tenant:
                return False
            known[key[:3]] = {}
        known[key[:3]].update(key.attributes)
        return True

    def _store_part(self, part: Part, series: SeriesTable) -> None:
        stored = self._store
        for columns in part.columns:
            names = [series.keys[index][:3] for index in columns.series.tolist()]
            times, values, qualities = columns.time_us, columns.value, columns.quality
            stored.readings += map(StoredReading, names, times.tolist(), values.tolist(), qualities.tolist())
        stored.dead_letters += [(part.partition, rejection) for rejection in part.rejections]
        stored.progress[part.partition] = replace(stored.progress[part.partition], next_offset=part.next)


class MemoryStatusBoard:
    """Keeps statuses in memory (:class:`~sinks.protocols.StatusBoard`).

    ``clock`` returns seconds that only grow, such as ``time.monotonic``.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._statuses: dict[str, tuple[float, dict[str, Any]]] = {}

    def publish(self, owner: str, status: dict[str, Any], ttl_s: float) -> None:
        """Show ``status`` as the owner's for ``ttl_s`` seconds."""
        self._statuses[owner] = (self._clock() + ttl_s, status)

    def read(self) -> list[dict[str, Any]]:
        """Return the statuses that have not expired, by owner."""
        now_s = self._clock()
        self._statuses = {owner: kept for owner, kept in self._statuses.items() if kept[0] > now_s}
        return [status for _, (_, status) in sorted(self._statuses.items())]
