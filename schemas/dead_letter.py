"""Dead letters as Kafka messages, for whoever wants to see at once what is refused."""

from __future__ import annotations

from typing import Any

from schemas.registry import DEAD_LETTER_V1


def encode_dead_letter(
    *,
    topic: str,
    partition: int,
    offset: int,
    index: int,
    time_ms: int | None,
    reason: str,
    detail: str,
    payload: bytes,
    payload_bytes: int,
) -> bytes:
    """Return a dead letter as an Avro message in single-object encoding.

    ``time_ms`` is the record's Kafka timestamp in milliseconds since 1970. The schema,
    ``schemas/avro/dead_letter.v1.avsc``, says what the other fields mean.
    """
    fields = {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "index": index,
        "time": time_ms,
        "reason": reason,
        "detail": detail,
        "payload": payload,
        "payload_bytes": payload_bytes,
    }
    return DEAD_LETTER_V1.write(fields)


def decode_dead_letter(message: bytes) -> dict[str, Any]:
    """Return the fields of a dead letter by name, ``time`` as a datetime.

    Raises ValueError when the message is none.

    >>> message = encode_dead_letter(
    ...     topic="telemetry.readings", partition=3, offset=7, index=-1, time_ms=None,
    ...     reason="unknown_encoding", detail="neither Avro nor JSON", payload=b"hello", payload_bytes=5,
    ... )
    >>> decode_dead_letter(message)["payload"]
    b'hello'
    """
    return DEAD_LETTER_V1.read(message, "a dead letter")
