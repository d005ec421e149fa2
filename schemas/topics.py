"""The Kafka topics of this program, as ``streamgauge topics apply`` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    *, readings_topic: str, readings_partitions: int, replication: int, max_message_bytes: int
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
    }
    return [
        Topic(
            name=readings_topic,
            carries="readings as producers send them: Avro Reading and ReadingBatch, or JSON",
            key="producer id, so that what one producer sends stays in order",
            partitions=readings_partitions,
            replication=replication,
            config={
                **common,
                "retention.ms": str(7 * DAY_MS),
                # Room for the headers around a record of the largest size that is accepted.
                "max.message.bytes": str(max_message_bytes + 4096),
            },
        )
    ]
