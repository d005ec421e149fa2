"""JSON readings read exactly, one message at a time.

The reference that :mod:`streams.core.wire.json_arrays` must agree with. A name that occurs twice in
an object counts with its last value.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson

from schemas.encode import DEFAULT_TENANT
from schemas.registry import QUALITIES
from streams.core.limits import Limits
from streams.core.names import Names
from streams.core.rejection import Reason, Refused, Rejection
from streams.core.rfc3339 import parse_us
from streams.core.wire.avro import first_sequence
from streams.core.wire.headers import UNKNOWN, pack
from streams.core.wire.rows import MAX_REVISION, Row

REQUIRED = frozenset({"source", "metric", "time", "value"})
FIELDS = REQUIRED | {"tenant", "producer", "epoch", "sequence", "quality", "revision", "attributes"}

_INT64 = range(-(1 << 63), 1 << 63)


def load(value: bytes, limits: Limits) -> list[dict[str, Any]]:
    """Return the objects of a message that is one object, or an array of them.

    Raises :class:`Refused` when it is anything else: the record as a whole is refused then.
    """
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Refused(Reason.UNDECODABLE, f"no JSON: {error}") from error
    return objects(document, limits)


def objects(document: Any, limits: Limits) -> list[dict[str, Any]]:
    """Return the objects of a parsed message. Raises :class:`Refused`."""
    elements = document if isinstance(document, list) else [document]
    if not elements:
        raise Refused(Reason.EMPTY, "an array without readings")
    if len(elements) > limits.max_readings_per_message:
        raise Refused(
            Reason.TOO_MANY_READINGS,
            f"{len(elements)} in one array, {limits.max_readings_per_message} are allowed",
        )
    if set(map(type, elements)) != {dict}:
        index = next(i for i, element in enumerate(elements) if type(element) is not dict)
        raise Refused(
            Reason.WRONG_TYPE,
            f"an object or an array of objects is expected; element {index} is {_kind(elements[index])}",
        )
    return elements


def read_or_reject(
    reading: dict[str, Any], names: Names, message: int, place: int, offset: int, key: bytes | None
) -> Row | Rejection:
    """Read one object of the record at ``offset``, or say what is wrong with this reading."""
    try:
        return read_reading(reading, names, message, place, key)
    except Refused as refused:
        return Rejection.of(offset, place, refused.reason, str(refused), _payload(reading, names, key))


def read_reading(reading: dict[str, Any], names: Names, message: int, place: int, key: bytes | None) -> Row:
    """Read one object. Raises :class:`Refused` with what is wrong with this reading."""
    if unknown := reading.keys() - FIELDS:
        raise Refused(
            Reason.UNKNOWN_FIELD, f"{', '.join(sorted(unknown))}; known: {', '.join(sorted(FIELDS))}"
        )
    if missing := REQUIRED - reading.keys():
        raise Refused(Reason.MISSING_FIELD, ", ".join(sorted(missing)))
    producer = _text(reading, "producer") if reading.get("producer") is not None else None
    producer_index = names.producer_of_key(key) if producer is None else names.producer_index(producer)
    sequence = _integer(reading, "sequence") if reading.get("sequence") is not None else None
    return Row(
        message=message,
        place=place,
        series=names.series_index(
            _text(reading, "tenant") if "tenant" in reading else DEFAULT_TENANT,
            _text(reading, "source"),
            _text(reading, "metric"),
            read_attributes(reading.get("attributes")),
        ),
        time_us=_time(reading["time"]),
        value=_value(reading["value"]),
        quality=_quality(reading) if "quality" in reading else 0,
        revision=_revision(reading) if "revision" in reading else 0,
        producer=producer_index,
        epoch=_integer(reading, "epoch") if "epoch" in reading else 0,
        sequence=first_sequence(sequence, producer_index, 1),
    )


def read_attributes(attributes: Any) -> list[tuple[str, str]]:
    """Return the attributes of one object; null stands for none. Raises :class:`Refused`."""
    if attributes is None:
        return []
    if type(attributes) is not dict or not set(map(type, attributes.values())) <= {str}:
        raise Refused(Reason.BAD_ATTRIBUTES, "attributes must be an object whose values are strings")
    return list(attributes.items())


def read_header(header: bytes, names: Names) -> int:
    """Return series and producer, packed, of what names a reading; ``UNKNOWN`` where it may not.

    ``header``: a JSON array of tenant, source, metric, attributes and producer.
    """
    try:
        tenant, source, metric, attributes, producer = orjson.loads(header)
        pairs = read_attributes(attributes)
        series = names.series_index(DEFAULT_TENANT if tenant is None else tenant, source, metric, pairs)
        return pack(series, None if producer is None else names.producer_index(producer))
    except (orjson.JSONDecodeError, Refused):
        return UNKNOWN


def _payload(reading: dict[str, Any], names: Names, key: bytes | None) -> bytes:
    """Return a reading as it came, and with its producer where the message key stands for it.

    What is nested too deeply to be written becomes null.
    """
    with suppress(Refused):
        if key and reading.get("producer") is None:
            reading = {**reading, "producer": names.producers[names.producer_of_key(key)]}
    try:
        return orjson.dumps(reading)
    except orjson.JSONEncodeError:
        return orjson.dumps({name: None if type(v) in (dict, list) else v for name, v in reading.items()})


def _text(reading: dict[str, Any], field: str) -> str:
    text = reading[field]
    if type(text) is not str:
        raise Refused(Reason.WRONG_TYPE, f"{field} must be a string, not {_kind(text)}")
    return text


def _integer(reading: dict[str, Any], field: str) -> int:
    number = reading[field]
    if type(number) is not int or number not in _INT64:
        raise Refused(Reason.WRONG_TYPE, f"{field} must be an integer of 64 bits, not {_kind(number)}")
    return number


def _time(time: Any) -> int:
    if type(time) is int and time in _INT64:
        return time
    if type(time) is not str:
        raise Refused(
            Reason.WRONG_TYPE, f"time must be an RFC 3339 string or integer microseconds, not {_kind(time)}"
        )
    try:
        return parse_us(time)
    except ValueError as error:
        raise Refused(Reason.BAD_TIME, f"time {time[:40]!r}: {error}") from error


def _value(value: Any) -> float:
    if value is None:
        return float("nan")
    if type(value) not in (float, int):
        raise Refused(Reason.WRONG_TYPE, f"value must be a number or null, not {_kind(value)}")
    return float(value)


def _quality(reading: dict[str, Any]) -> int:
    quality = _text(reading, "quality")
    if quality not in QUALITIES:
        raise Refused(Reason.BAD_QUALITY, f"quality {quality[:40]!r}; known: {', '.join(QUALITIES)}")
    return QUALITIES.index(quality)


def _revision(reading: dict[str, Any]) -> int:
    revision = _integer(reading, "revision")
    if not 0 <= revision <= MAX_REVISION:
        raise Refused(Reason.BAD_REVISION, f"revision {revision} is not within 0 and {MAX_REVISION}")
    return revision


def _kind(thing: Any) -> str:
    """Return how JSON calls what was found, with its beginning."""
    kinds = {dict: "an object", list: "an array", type(None): "null"}
    return kinds.get(type(thing)) or f"{orjson.dumps(thing).decode()[:40]}"
