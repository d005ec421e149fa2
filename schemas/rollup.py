"""Closed buckets as Kafka messages, for whoever wants aggregates without asking the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.registry import ROLLUP_V1


def encode_rollup(fields: Mapping[str, Any]) -> bytes:
    """Return a closed bucket as an Avro message in single-object encoding.

    The schema, ``schemas/avro/rollup.v1.avsc``, says what the fields mean; times are microseconds since
    1970.
    """
    return ROLLUP_V1.write(fields)


def decode_rollup(message: bytes) -> dict[str, Any]:
    """Return the fields of a closed bucket by name, times as datetimes.

    Raises ValueError when the message is none.

    >>> message = encode_rollup({
    ...     "series_id": 7, "tenant": "default", "source": "pump-1", "metric": "rpm", "level": "1h",
    ...     "time": 0, "revision": 2, "readings": 1, "bad": 1, "values": None,
    ... })
    >>> decode_rollup(message)["time"].isoformat()
    '1970-01-01T00:00:00+00:00'
    """
    return ROLLUP_V1.read(message, "a rollup")
