"""Episodes of series as Kafka messages, for whoever has to know of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.registry import ANOMALY_V1


def encode_anomaly(fields: Mapping[str, Any]) -> bytes:
    """Return what is known of an episode as an Avro message in single-object encoding.

    The schema, ``schemas/avro/anomaly.v1.avsc``, says what the fields mean; times are microseconds since
    1970.
    """
    return ANOMALY_V1.write(fields)


def decode_anomaly(message: bytes) -> dict[str, Any]:
    """Return what is told of an episode by name, times as datetimes.

    Raises ValueError when the message tells of none.

    >>> message = encode_anomaly({
    ...     "episode": "f2b0", "revision": 0, "tenant": "default", "source": "pump-1", "metric": "rpm",
    ...     "state": "open", "severity": "high", "start": 0, "peak": 0, "end": None, "direction": 1,
    ...     "score": 0.99, "detector": "deviation", "reason": "value over 1", "observed": 9.0,
    ...     "expected": 1.0, "band": 0.5, "statistic": 16.0, "parameters": "77a1",
    ... })
    >>> decode_anomaly(message)["start"].isoformat()
    '1970-01-01T00:00:00+00:00'
    """
    return ANOMALY_V1.read(message, "one about an episode")
