"""The sinks' ports kept in memory: for tests of what is built on them, and to run without services.

Several sinks on one store behave as several workers on one database.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from operator import attrgetter
from threading import Lock
from typing import Any
from uuid import UUID

import numpy as np

from sinks.judging import REFUSED, JudgedPart, ResolvedPart, total
from sinks.protocols import LOOK_BACK, Fenced, Flush, HaltKind, Part, Partition, Progress, Suspicion, Written
from streams.core.anomaly import Anomaly
from streams.core.batch import NEVER_US, Columns, Int64, Points
from streams.core.deduplicate import KEPT_FOREVER_US, Deduplicator, Version
from streams.core.detect.choice import Choice
from streams.core.identities import Stored
from streams.core.order import LATE_BY_S
from streams.core.partition import PartitionMemory
from streams.core.rejection import Reason, Rejection
from streams.core.series import SeriesKey
from streams.core.watch import Sightings, Watch

SeriesName = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class StoredReading:
    """One reading as a sink stored it; ``time_us`` in microseconds since 1970."""

    series: SeriesName
    time_us: int
    value: float
    quality: int
    late: bool = False


@dataclass(frozen=True, slots=True)
class StoredAnomaly:
    """One episode as a sink stored it."""

    series: SeriesName
    anomaly: Anomaly
    late: bool


@dataclass(slots=True)
class MemoryStore:
    """What every sink on this store has made visible.

    ``claimed_at`` is the offset at which the owner of a partition found it, while it holds it.
    ``outbox`` holds what was forwarded, and where to. ``dirty`` are series and begins of minutes.
    ``late_by`` counts late readings of a partition, see :func:`~streams.core.order.count_by_lateness`.
    ``anomalies`` are the episodes that detectors told of, by id, and ``told`` all that was told of them.
    """

    progress: dict[Partition, Progress] = field(default_factory=dict)
    claimed_at: dict[Partition, int] = field(default_factory=dict)
    halts: dict[Partition, HaltKind] = field(default_factory=dict)
    stored: dict[tuple[int, int], StoredReading] = field(default_factory=dict)
    versions: set[Version] = field(default_factory=set)
    dead_letters: list[tuple[Partition, Rejection]] = field(default_factory=list)
    outbox: list[tuple[Partition, Columns]] = field(default_factory=list)
    dirty: list[tuple[SeriesName, int]] = field(default_factory=list)
    late_by: Counter[tuple[Partition, float]] = field(default_factory=Counter)
    anomalies: dict[UUID, StoredAnomaly] = field(default_factory=dict)
    told: list[Anomaly] = field(default_factory=list)
    attributes: dict[SeriesName, dict[str, str]] = field(default_factory=dict)
    homes: list[Partition] = field(default_factory=list)
    memories: dict[Partition, PartitionMemory] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    @property
    def readings(self) -> list[StoredReading]:
        """Every reading that is stored."""
        return list(self.stored.values())


class StoreHistory:
    """Looks readings up in a store (:class:`~streams.core.partition.PartitionHistory`)."""

    def __init__(self, store: MemoryStore, partition: Partition) -> None:
        self._store = store
        self._partition = partition

    def stored(self, series_id: Int64, time_us: Int64) -> Stored:
        """Look identities up."""
        found = Stored.nothing(len(series_id))
        for row, identity in enumerate(zip(series_id.tolist(), time_us.tolist(), strict=True)):
            reading = self._store.stored.get(identity)
            if reading is not None:
                found.found[row], found.value[row], found.quality[row] = True, reading.value, reading.quality
        return found

    def revision(self, series_id: int, time_us: int) -> tuple[int, bool]:
        """Return the revision of a stored reading, and whether it came with something late."""
        mine = ((v.revision, v.late) for v in self._store.versions if v[:2] == (series_id, time_us))
        return max(mine, default=(0, False))

    def unreleased(self, from_us: int, to_us: int, most: int) -> Points:
        """Return readings of the partition's series that were not late, in order of time."""
        some = sorted(
            (time_us, series_id, *self._last_in_time(series_id, time_us))
            for (series_id, time_us), reading in self._store.stored.items()
            if from_us <= time_us < to_us
            and not reading.late
            and self._store.homes[series_id] == self._partition
        )[:most]
        time_us, series_id, value, quality = zip(*some, strict=True) if some else ((),) * 4
        return Points(
            np.array(series_id, np.int32),
            np.array(time_us, np.int64),
            np.array(value, np.float64),
            np.array(quality, np.int16),
        )

    def _last_in_time(self, series_id: int, time_us: int) -> tuple[float, int]:
        versions = [v for v in self._store.versions if v[:2] == (series_id, time_us)]
        if any(version.late for version in versions):
            seen = max((v for v in versions if not v.late), key=attrgetter("revision"))
            return seen.value, seen.quality
        reading = self._store.stored[series_id, time_us]
        return reading.value, reading.quality


class MemorySink:
    """Stores flushes in a :class:`MemoryStore` (:class:`~sinks.protocols.ReadingsSink`)."""

    def __init__(
        self,
        store: MemoryStore,
        max_series_per_tenant: int = 1_000_000,
        choice: Choice | None = None,
    ) -> None:
        self._store = store
        self._choice = choice
        self._max_series_per_tenant = max_series_per_tenant
        self._epochs: dict[Partition, int] = {}
        self._attempting: set[Partition] = set()

    def claim(
        self, partition: Partition, owner: str, start: int, end: int = 0, topic_id: str | None = None
    ) -> Progress:
        """Take ``partition`` over; see :class:`~sinks.protocols.ReadingsSink`."""
        with self._store.lock:
            before = self._store.progress.get(partition, Progress(0, start, owner))
            claimed = replace(
                before,
                epoch=before.epoch + 1,
                owner=owner,
                topic_id=before.topic_id or topic_id,
                suspicion=before.suspicion._replace(strikes=self._strikes(partition, before, owner, end)),
            )
            self._store.progress[partition] = claimed
            self._store.claimed_at[partition] = claimed.next_offset
            self._epochs[partition] = claimed.epoch
            return claimed

    def _strikes(self, partition: Partition, before: Progress, owner: str, end: int) -> int:
        claimed_at, strikes = self._store.claimed_at.get(partition), before.suspicion.strikes
        if before.next_offset >= end:
            return 0
        if claimed_at is None or owner == before.owner:
            return strikes
        return strikes + 1 if before.next_offset == claimed_at or strikes else 0

    def progress(self, partitions: list[Partition]) -> dict[Partition, Progress]:
        """Return the stored progress of those ``partitions`` that have one."""
        with self._store.lock:
            stored = self._store.progress
            return {partition: stored[partition] for partition in partitions if partition in stored}

    def write(self, flush: Flush) -> Written:
        """Make the flush visible, or none of it; see :class:`~sinks.protocols.ReadingsSink`."""
        with self._store.lock:
            # Series are registered whatever becomes of the flush: its readings will come again.
            parts = [self._judge(flush, part) for part in flush.parts]
            for part in flush.parts:
                self._check(part)
            for judged in parts:
                self._store_part(judged)
                self._attempting.discard(judged.part.partition)
        return total(parts)

    def halt(self, partition: Partition, epoch: int, kind: HaltKind, reason: str) -> None:
        """Note a halt; see :class:`~sinks.protocols.ReadingsSink`."""
        with self._store.lock:
            before = self._held(partition, epoch)
            self._store.progress[partition] = replace(before, epoch=epoch + 1, halted=reason)
            self._store.halts[partition] = kind
            self._store.claimed_at.pop(partition, None)

    def attempt(self, partition: Partition, epoch: int, offset: int) -> None:
        """Note an attempt; see :class:`~sinks.protocols.ReadingsSink`."""
        with self._store.lock:
            before = self._held(partition, epoch)
            strikes, attempting, attempts, _ = before.suspicion
            attempts = attempts + 1 if attempting == offset else 1
            suspicion = Suspicion(strikes, offset, attempts, self._quarantined(partition, offset))
            self._store.progress[partition] = replace(before, suspicion=suspicion)
            self._attempting.add(partition)

    def absolve(self, partition: Partition, epoch: int) -> None:
        """Forget strikes and attempts; see :class:`~sinks.protocols.ReadingsSink`."""
        with self._store.lock, suppress(Fenced):
            before = self._held(partition, epoch)
            self._store.progress[partition] = replace(before, suspicion=Suspicion())
            self._attempting.discard(partition)

    def _quarantined(self, partition: Partition, offset: int) -> int:
        return sum(
            where == partition
            and letter.reason is Reason.POISON
            and offset - LOOK_BACK <= letter.offset < offset
            for where, letter in self._store.dead_letters
        )

    def _held(self, partition: Partition, epoch: int) -> Progress:
        stored = self._store.progress.get(partition)
        if stored is None or stored.epoch != epoch:
            raise Fenced(f"{partition} is not held under epoch {epoch}")
        return stored

    def release(self, partition: Partition) -> None:
        """Note that it was given up; what is remembered is the store's, and always true."""
        with self._store.lock, suppress(Fenced):
            before = self._held(partition, self._epochs.pop(partition, 0))
            self._store.claimed_at.pop(partition, None)
            if partition in self._attempting:
                suspicion = before.suspicion._replace(attempts=before.suspicion.attempts - 1)
                self._store.progress[partition] = replace(before, suspicion=suspicion)
            self._attempting.discard(partition)

    def close(self) -> None:
        """Keep the store as it is: it belongs to whoever made it."""

    def _check(self, part: Part) -> None:
        stored = self._store.progress.get(part.partition)
        if stored is None or (stored.epoch, stored.next_offset) != (part.epoch, part.base):
            raise Fenced(f"{part.partition} is not at offset {part.base} under epoch {part.epoch}")

    def _judge(self, flush: Flush, part: Part) -> JudgedPart:
        columns = Columns.concat(part.columns)
        numbers = {
            index: self._register(flush.series.keys[index], part.partition)
            for index in np.unique(columns.series).tolist()
        }
        series_id = np.array([numbers[index] for index in columns.series.tolist()], np.int32)
        homes = [
            self._home(self._store.homes[number]) if number >= 0 else -1 for number in series_id.tolist()
        ]
        nothing = np.empty(0, np.int64)
        memory = self._store.memories.setdefault(
            part.partition,
            PartitionMemory(
                Deduplicator(0, nothing, nothing, KEPT_FOREVER_US),
                watch=None if self._choice is None else Watch(self._choice, NEVER_US),
            ),
        )
        resolved = ResolvedPart(
            part, columns, series_id, np.array(homes, np.int32), self._home(part.partition)
        )
        if memory.watch is not None:
            resolved.introduce(flush, memory.watch)
        history = StoreHistory(self._store, part.partition)
        return resolved.judged(flush, [resolved.judge(flush, memory, history)])

    def _home(self, partition: Partition) -> int:
        return sorted({*self._store.progress, *self._store.homes, partition}).index(partition)

    def _register(self, key: SeriesKey, partition: Partition) -> int:
        known = self._store.attributes
        if key[:3] not in known:
            if sum(tenant == key.tenant for tenant, _, _ in known) >= self._max_series_per_tenant:
                return REFUSED
            known[key[:3]] = {}
            self._store.homes.append(partition)
        known[key[:3]].update(key.attributes)
        return list(known).index(key[:3])

    def _store_part(self, judged: JudgedPart) -> None:
        store, part, (outcome,) = self._store, judged.part, judged.outcomes
        names = list(store.attributes)
        columns = (column.tolist() for column in (*outcome.stored, outcome.late))
        written = zip(*columns, strict=True)
        for series_id, time_us, *content in written:
            store.stored[series_id, time_us] = StoredReading(names[series_id], time_us, *content)
        for version in outcome.judgement.corrected:
            identity = version.series_id, version.time_us
            store.stored[identity] = replace(
                store.stored[identity], value=version.value, quality=version.quality
            )
        for series_id, bucket_us in zip(
            outcome.dirty.series_id.tolist(), outcome.dirty.bucket_us.tolist(), strict=True
        ):
            store.dirty.append((names[series_id], bucket_us))
        for up_to_s, count in zip((*LATE_BY_S, math.inf), outcome.late_by, strict=True):
            store.late_by[part.partition, up_to_s] += count
        store.versions.update(outcome.judgement.versions)
        store.dead_letters += [(part.partition, rejection) for rejection in judged.rejections]
        for home in np.unique(judged.foreign_home).tolist():
            homes = sorted({*store.progress, *store.homes, part.partition})
            store.outbox.append((homes[home], judged.foreign.take(judged.foreign_home == home)))
        memory = store.memories[part.partition]
        memory.apply(outcome)
        if memory.watch is not None:
            part.sightings = memory.watch.see(outcome.released, outcome.reached.released_us)
            self._store_anomalies(judged, part.sightings)
        store.progress[part.partition] = replace(store.progress[part.partition], next_offset=part.next)

    def _store_anomalies(self, judged: JudgedPart, sightings: Sightings) -> None:
        """Store episodes, and mark those that something late fell into."""
        store, names = self._store, list(self._store.attributes)
        store.told += sightings.told
        for anomaly in sightings.changed.values():
            name = names[anomaly.series_id]
            store.anomalies[anomaly.episode(*name)] = StoredAnomaly(name, anomaly, self._is_late(anomaly))
        late = set(zip(*(column.tolist() for column in judged.belated), strict=True))
        for episode, stored in store.anomalies.items():
            if any(_falls_into(stored.anomaly, *each) for each in late):
                store.anomalies[episode] = replace(stored, late=True)

    def _is_late(self, anomaly: Anomaly) -> bool:
        readings = (identity for identity, reading in self._store.stored.items() if reading.late)
        corrections = (version[:2] for version in self._store.versions if version.late)
        return any(_falls_into(anomaly, *identity) for identity in (*readings, *corrections))


def _falls_into(anomaly: Anomaly, series_id: int, time_us: int) -> bool:
    ends_us = math.inf if anomaly.end_us is None else anomaly.end_us
    return anomaly.series_id == series_id and anomaly.start_us <= time_us <= ends_us


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
