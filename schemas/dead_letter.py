"""Dead letters as Kafka messages, for whoever wants to see at once what is refused."""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

from fastavro import schemaless_reader, schemaless_writer

from schemas.registry import DEAD_LETTER_V1, SINGLE_OBJECT_PREFIX_BYTES


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
    message = BytesIO()
    message.write(DEAD_LETTER_V1.prefix)
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
    schemaless_writer(message, DEAD_LETTER_V1.parsed, fields)
    return message.getvalue()


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
    if not message.startswith(DEAD_LETTER_V1.prefix):
        raise ValueError("the message does not begin as a dead letter does")
    body = BytesIO(message[SINGLE_OBJECT_PREFIX_BYTES:])
    return cast("dict[str, Any]", schemaless_reader(body, DEAD_LETTER_V1.parsed, None))
