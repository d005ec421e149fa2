"""The Kafka topics of this program, as ``streamgauge topics apply`` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DEAD_LETTERS = "telemetry.dead-letters"
ROLLUPS = "telemetry.rollups"
ANOMALIES = "telemetry.anomalies"

DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: what it carries, by which key, and how it is to be set up.

    ``config`` holds Kafka's own topic settings as text.
    """

    name: str
    carries: str
    key: str
    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)


def declared(
    *,
    readings_topic: str,
    readings_partitions: int,
    replication: int,
    max_message_bytes: int,
    dead_letters_topic: str = DEAD_LETTERS,
    rollups_topic: str = ROLLUPS,
    anomalies_topic: str = ANOMALIES,
) -> list[Topic]:
    """Return all topics, set up for a cluster that keeps ``replication`` copies.

    >>> topics = declared(
    ...     readings_topic="telemetry.readings",
    ...     readings_partitions=8,
    ...     replication=3,
    ...     max_message_bytes=1_048_576,
    ... )
    >>> topics[0].config["min.insync.replicas"]
    '2'
    """
    common = {
        "cleanup.policy": "delete",
        # Whatever the producer chose: the broker need not compress anew.
        "compression.type": "producer",
        "min.insync.replicas": str(max(1, replication - 1)),
        # Room for the headers around a record of the largest size that is accepted.
        "max.message.bytes": str(max_message_bytes + 4096),
    }

    def topic(name: str, carries: str, key: str, partitions: int, **config: str) -> Topic:
        return Topic(name, carries, key, partitions, replication, {**common, **_dotted(config)})

    return [
        topic(
            readings_topic,
            "readings as producers send them: Avro Reading and ReadingBatch, or JSON",
            "producer id, so that what one producer sends stays in order",
            readings_partitions,
            retention_ms=_days(7),
            # Lateness, and clocks that run ahead, are measured against the time of arrival; and what
            # is backfilled from years ago is not at once old enough to be deleted.
            message_timestamp_type="LogAppendTime",
        ),
        topic(
            rollups_topic,
            "closed buckets of readings: Avro Rollup",
            "series, level and bucket, so that its last revision remains",
            8,
            retention_ms=_days(30),
            cleanup_policy="compact,delete",
        ),
        topic(
            anomalies_topic,
            "episodes that detectors tell of: Avro Anomaly",
            "episode, so that the last that is known of it remains",
            4,
            retention_ms=_days(90),
            cleanup_policy="compact,delete",
        ),
        topic(
            dead_letters_topic,
            "refused records and readings: Avro DeadLetter",
            "key of the refused record",
            1,
            retention_ms=_days(30),
        ),
        topic(
            "alerts.events", "alerts raised, acknowledged, resolved", "alert id", 4, retention_ms=_days(365)
        ),
        topic("scaling.signals", "how many workers are wanted", "consumer group", 1, retention_ms=_days(7)),
        # One partition: the entries form a chain of hashes. Kept for ever.
        topic("audit.events", "who did what", "chain", 1, retention_ms="-1"),
        topic("control.commands", "commands to workers and edges", "target", 1, retention_ms=_days(7)),
        topic(
            "fleet.heartbeats",
            "signs of life",
            "worker or edge id",
            1,
            retention_ms=_days(1),
            cleanup_policy="compact,delete",
        ),
    ]


def _days(count: int) -> str:
    return str(count * DAY_MS)


def _dotted(config: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "."): value for name, value in config.items()}
