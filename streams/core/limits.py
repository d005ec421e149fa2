"""How large input may be: everything beyond is refused before memory is spent on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what one record may hold; the defaults are those of the settings of the same names.

    ``max_name_chars`` bounds tenant, source, metric, producer, and an attribute's name and value.
    ``max_future_s``: how far an event time may lie ahead of its record's Kafka timestamp.
    """

    max_message_bytes: int = 1_048_576
    max_readings_per_message: int = 100_000
    max_name_chars: int = 200
    max_attributes: int = 32
    max_future_s: float = 3600.0
