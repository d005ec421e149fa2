"""How the pipeline does: what is stored, what waits in Kafka, and what the workers say."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from jobs.untrusted import printable
from sinks.timescale.outbox import NOTHING_WAITS, STATE, OutboxState
from streams.core.detect.episodes import Severity

RATE_WINDOW_S = 5.0
_TIMEOUT_S = 2.0

PROGRESS = """
    SELECT partition, next_offset, written, dead_letters FROM pipeline_progress
    WHERE topic = %(topic)s
"""
ANOMALIES = """
    SELECT tenant, source, metric, severity, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
    FROM anomalies_named WHERE state = 'open' AND severity >= 3 AND started_at > now() - INTERVAL '1 day'
    ORDER BY severity DESC, started_at DESC LIMIT 3
"""
HALTS = "SELECT partition, reason FROM halts WHERE topic = %(topic)s ORDER BY partition"


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database says of one partition."""

    partition: int
    next_offset: int
    written: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Ends:
    """The offsets that a partition's log begins and ends at."""

    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The figures of the header. None where it cannot be known now."""

    rows_per_s: float | None
    written: int
    dead_letters: int
    lag: int | None
    duplicates: int | None
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    workers: Sequence[Mapping[str, Any]] = ()
    halted: Mapping[str, str] = field(default_factory=dict)
    rates: Sequence[float] = ()
    outbox: OutboxState = NOTHING_WAITS
    anomalies: Sequence[str] = ()


class Rate:
    """The rate of a counter over the last ``RATE_WINDOW_S`` seconds.

    >>> rate = Rate()
    >>> rate.update(0.0, 100), rate.update(2.0, 300)
    (None, 100.0)
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def update(self, at_s: float, count: int) -> float | None:
        """Take the counter's value and return its rate; None until there are two values to compare."""
        if self._seen and count < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((at_s, count))
        while len(self._seen) > 2 and self._seen[1][0] <= at_s - RATE_WINDOW_S:
            self._seen.popleft()
        first_at_s, first = self._seen[0]
        return (count - first) / (at_s - first_at_s) if at_s > first_at_s else None


def lag(stored: Sequence[Stored], ends: Mapping[int, Ends]) -> int:
    """Return how many Kafka records are not stored yet, over all partitions of the log.

    >>> lag([Stored(0, 7, 0, 0)], {0: Ends(0, 10), 1: Ends(5, 6)})
    4
    """
    next_offsets = {each.partition: each.next_offset for each in stored}
    return sum(max(0, end.high - next_offsets.get(number, end.low)) for number, end in ends.items())


def summarize(
    stored: Sequence[Stored],
    ends: Mapping[int, Ends] | None,
    workers: Sequence[Mapping[str, Any]],
    rows_per_s: float | None,
    rates: Sequence[float],
    halted: Mapping[str, str],
    outbox: OutboxState = NOTHING_WAITS,
    anomalies: Sequence[str] = (),
) -> Health:
    """Put together what the database, Kafka and the workers say.

    The median is that of the workers weighted by their rates; the 99th percentile the worst one's.
    """
    return Health(
        rows_per_s=rows_per_s,
        written=sum(each.written for each in stored),
        dead_letters=sum(each.dead_letters for each in stored),
        lag=None if ends is None else lag(stored, ends),
        duplicates=_total(workers, "duplicates"),
        latency_p50_ms=_weighted(workers, "latency_p50_ms"),
        latency_p99_ms=max(_known(workers, "latency_p99_ms"), default=None),
        workers=workers,
        halted=halted,
        rates=rates,
        outbox=outbox,
        anomalies=anomalies,
    )


def _known(workers: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [worker[name] for worker in workers if worker.get(name) is not None]


def _total(workers: Sequence[Mapping[str, Any]], name: str) -> int | None:
    known = _known(workers, name)
    return int(sum(known)) if known else None


def _weighted(workers: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [
        (worker[name], worker.get("rows_per_s") or 1e-9) for worker in workers if worker.get(name) is not None
    ]
    weight = sum(per_s for _, per_s in known)
    return sum(value * per_s for value, per_s in known) / weight if known else None


class KafkaEnds:
    """Asks Kafka where the logs of a topic begin and end."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def read(self) -> dict[int, Ends] | None:
        """Return the ends by partition, or None while Kafka does not answer."""
        try:
            found = self._admin.list_topics(self._topic, timeout=_TIMEOUT_S).topics[self._topic]
            if found.error is not None:
                return None
            partitions = [TopicPartition(self._topic, number) for number in found.partitions]
            low = self._offsets(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
            high = self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        except KafkaException:
            return None
        return {number: Ends(low[number], high[number]) for number in high}

    def _offsets(self, partitions: list[TopicPartition], spec: OffsetSpec) -> dict[int, int]:
        answers = self._admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=_TIMEOUT_S)
        return {each.partition: answer.result().offset for each, answer in answers.items()}


class HealthWatch:
    """Reads all three places; remembers rates for a graph of the last minute."""

    def __init__(
        self,
        topic: str,
        group: str,
        query: Callable[[str, dict[str, Any]], list[tuple[Any, ...]]],
        ends: KafkaEnds,
        workers: Callable[[], list[dict[str, Any]]],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._topic = topic
        self._group = group
        self._query = query
        self._ends = ends
        self._workers = workers
        self._monotonic_s = monotonic_s
        self._rate = Rate()
        self._rates: deque[float] = deque(maxlen=60)

    def read(self) -> Health:
        """Return the figures of now."""
        stored = [Stored(*found) for found in self._query(PROGRESS, {"topic": self._topic})]
        rows_per_s = self._rate.update(self._monotonic_s(), sum(each.written for each in stored))
        if rows_per_s is not None:
            self._rates.append(rows_per_s)
        # Workers of other pipelines may show their status in the same Redis.
        workers = [worker for worker in self._workers() if worker.get("group") == self._group]
        outbox = OutboxState(*self._query(STATE, {})[0])
        halted = {str(number): why for number, why in self._query(HALTS, {"topic": self._topic})}
        anomalies = [
            f"{printable(tenant)}/{printable(source)}/{printable(metric)} is anomalous since {since} UTC: "
            f"{Severity(severity).name.lower()}"
            for tenant, source, metric, severity, since in self._query(ANOMALIES, {})
        ]
        ends, rates = self._ends.read(), tuple(self._rates)
        return summarize(stored, ends, workers, rows_per_s, rates, halted, outbox, anomalies)
