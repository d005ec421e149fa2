"""Counts what a worker does: for Prometheus, and for the live view."""

from __future__ import annotations

import os
import time
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sinks.protocols import Part, Partition, Written
from sinks.timescale.outbox import OutboxState
from sinks.timescale.refresh import Refreshed, RollupState
from streams.core.watch import Sightings

SAMPLES_PER_FLUSH = 64
WINDOW_S = 60.0
MAX_SAMPLES = 4096
DISPOSITIONS = ("readings", "dead_letters", "duplicates", "corrections", "forwarded")
LATENCY_BUCKETS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 600)


class Observer:
    """Counters of one worker. ``clock`` gives seconds since 1970, as Kafka's timestamps do."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._started = clock()
        self._latencies: deque[tuple[float, npt.NDArray[np.float64]]] = deque(
            maxlen=MAX_SAMPLES // SAMPLES_PER_FLUSH
        )
        self._rate = (clock(), 0)
        self.total = Written()
        self.anomalies = 0
        self._readings_total = Counter(
            "streamgauge_readings_written", "readings made visible in the database", registry=registry
        )
        self._dispositions_total = Counter(
            "streamgauge_readings", "readings by what became of them", ["disposition"], registry=registry
        )
        self._late_total = Counter(
            "streamgauge_readings_late", "readings written that the watermark had passed", registry=registry
        )
        self._released_total = Counter(
            "streamgauge_readings_released", "readings released in order of their time", registry=registry
        )
        self._dead_letters_total = Counter(
            "streamgauge_dead_letters", "refusals stored in the database", ["reason"], registry=registry
        )
        self._flush_rows = Histogram(
            "streamgauge_flush_rows",
            "readings in one transaction",
            buckets=(1, 10, 100, 1_000, 10_000, 50_000, 100_000, 200_000),
            registry=registry,
        )
        self._latency = Histogram(
            "streamgauge_produce_to_visible_seconds",
            "from a record's Kafka timestamp to its commit in the database (sampled)",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._outbox_messages = Gauge(
            "streamgauge_outbox_messages",
            "messages that wait to be sent to Kafka, of all workers; at most 100,000 are counted",
            registry=registry,
        )
        self._outbox_oldest = Gauge(
            "streamgauge_outbox_oldest_seconds", "how long the oldest of them has waited", registry=registry
        )
        self._outbox_refused = Gauge(
            "streamgauge_outbox_refused", "messages that Kafka refused for good", registry=registry
        )
        self._rollups_waiting = Gauge(
            "streamgauge_rollups_waiting",
            "marks of closed buckets to be computed again, of all workers; at most 100,000 are counted",
            registry=registry,
        )
        self._rollups_oldest = Gauge(
            "streamgauge_rollups_oldest_seconds", "how long the oldest of them has waited", registry=registry
        )
        self._rollups_refreshed = Counter(
            "streamgauge_rollups_refreshed",
            "marks of buckets that this worker computed again",
            ["level"],
            registry=registry,
        )
        self._rollups_revised = Counter(
            "streamgauge_rollups_revised",
            "buckets that came out new or changed",
            ["level"],
            registry=registry,
        )
        self._rollups_given_up = Counter(
            "streamgauge_rollups_given_up",
            "marks of days whose readings may be dropped: their buckets stay as they are",
            registry=registry,
        )
        self._rollups_failed = Counter(
            "streamgauge_rollups_failed", "times that this worker could not compute any", registry=registry
        )
        self._anomalies = Counter(
            "streamgauge_anomalies_told",
            "episodes that began, rose to a severity, or ended",
            ["state", "severity"],
            registry=registry,
        )
        self._series_watched = Gauge(
            "streamgauge_detect_series", "series that detectors of this worker look at", registry=registry
        )
        self._series_without_room = Gauge(
            "streamgauge_detect_series_left_out",
            "series that they do not look at, because detect_series are looked at already",
            registry=registry,
        )
        self._watched: dict[tuple[str, int], tuple[int, int]] = {}
        self._partitions_held = Gauge(
            "streamgauge_partitions_held", "partitions this worker reads", registry=registry
        )
        self._partitions_halted = Gauge(
            "streamgauge_partitions_halted", "partitions that wait for an operator", registry=registry
        )
        self._halted = Gauge(
            "streamgauge_partition_halted",
            "1 for each partition that waits for an operator",
            ["topic", "partition"],
            registry=registry,
        )

    def outbox(self, state: OutboxState) -> None:
        """Take over what was seen of the outbox."""
        self._outbox_messages.set(state.waiting)
        self._outbox_oldest.set(state.oldest_s)
        self._outbox_refused.set(state.refused)

    def rollups(self, state: RollupState) -> None:
        """Take over what was seen of the rollups."""
        self._rollups_waiting.set(state.waiting)
        self._rollups_oldest.set(state.oldest_s)

    def refreshed(self, done: Iterable[Refreshed]) -> None:
        """Count what was computed again, and committed."""
        for level, marks, revised, given_up in done:
            self._rollups_refreshed.labels(level).inc(marks)
            self._rollups_revised.labels(level).inc(revised)
            self._rollups_given_up.inc(given_up)

    def refresh_failed(self) -> None:
        """Count one time that nothing could be computed again."""
        self._rollups_failed.inc()

    def stored(self, parts: Iterable[Part], written: Written) -> None:
        """Count one committed transaction."""
        now_s = self._clock()
        self.total = Written(*(sum(counts) for counts in zip(self.total, written, strict=True)))
        self._readings_total.inc(written.readings)
        self._late_total.inc(written.late)
        self._released_total.inc(written.released)
        for disposition in DISPOSITIONS:
            count = getattr(written, disposition)
            self._dispositions_total.labels(disposition).inc(count)
        self._flush_rows.observe(written.readings)
        for part in parts:
            reasons = Counts(rejection.reason.value for rejection in (*part.rejections, *part.refused))
            for reason, count in reasons.items():
                self._dead_letters_total.labels(reason).inc(count)
            for columns in part.columns:
                self._sample(now_s, columns.stamp_ms)
            if part.sightings is not None:
                self._detected(part.partition, part.sightings)

    def _detected(self, partition: Partition, sightings: Sightings) -> None:
        for anomaly in sightings.told:
            self._anomalies.labels(anomaly.state.value, anomaly.severity.name.lower()).inc()
            self.anomalies += anomaly.revision == 0
        self._watched[partition.topic, partition.number] = sightings.watched, sightings.without_room

    def holds(self, held: Collection[tuple[str, int]], halted: Iterable[tuple[str, int]]) -> None:
        """Show how many partitions are held, and which are halted."""
        named = list(halted)
        self._partitions_held.set(len(held))
        self._watched = {place: counts for place, counts in self._watched.items() if place in held}
        self._series_watched.set(sum(watched for watched, _ in self._watched.values()))
        self._series_without_room.set(sum(without_room for _, without_room in self._watched.values()))
        self._partitions_halted.set(len(named))
        self._halted.clear()
        for topic, number in named:
            self._halted.labels(topic, number).set(1)

    def _sample(self, now_s: float, stamp_ms: npt.NDArray[np.int64]) -> None:
        if not len(stamp_ms):
            return
        step = max(1, len(stamp_ms) // SAMPLES_PER_FLUSH)
        latencies_s = np.maximum(now_s - stamp_ms[::step][:SAMPLES_PER_FLUSH] / 1000.0, 0.0)
        self._latencies.append((now_s, latencies_s))
        for latency_s in latencies_s[:4]:
            self._latency.observe(latency_s)

    def status(self) -> dict[str, Any]:
        """Return what the live view shows of this worker."""
        now_s = self._clock()
        recent = [sample for at, sample in self._latencies if at > now_s - WINDOW_S]
        p50, p99 = np.percentile(np.concatenate(recent), (50, 99)) * 1000 if recent else (None, None)
        last_at, last_readings = self._rate
        self._rate = (now_s, self.total.readings)
        return {
            "pid": os.getpid(),
            "at": now_s,
            "uptime_s": now_s - self._started,
            "written": self.total.readings,
            **self.total._asdict(),
            "anomalies": self.anomalies,
            "rows_per_s": (self.total.readings - last_readings) / max(now_s - last_at, 1e-3),
            "latency_p50_ms": None if p50 is None else float(p50),
            "latency_p99_ms": None if p99 is None else float(p99),
            "rss_bytes": psutil.Process().memory_info().rss,
        }
