"""Messages for producers: readings as Avro in single-object encoding, or as JSON.

Plain Avro on the wire: every array is one block, so any Avro library reads it.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence, Sized
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.registry import QUALITIES, READING_BATCH_V1, READING_V1

DEFAULT_TENANT = "default"
GOOD, UNCERTAIN, BAD = range(3)

Integers = npt.NDArray[np.integer[Any]] | Sequence[int]
Floats = npt.NDArray[np.floating[Any]] | Sequence[float]
Bounds = tuple[int, int]

_NULL = b"\x00"
_PRESENT = b"\x02"
_END_OF_ARRAY = b"\x00"
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1


class SeriesRef(NamedTuple):
    """One entry of a batch's dictionary; ``attributes`` may name unit (UCUM), site, system and more."""

    source: str
    metric: str
    attributes: Mapping[str, str] | None = None


def encode_reading(
    *,
    source: str,
    metric: str,
    time_us: int,
    value: float,
    tenant: str = DEFAULT_TENANT,
    attributes: Mapping[str, str] | None = None,
    producer: str | None = None,
    epoch: int = 0,
    sequence: int | None = None,
    quality: int = GOOD,
    revision: int = 0,
) -> bytes:
    """Return one reading as a message. Without ``producer`` the message key stands for it.

    Raises ValueError when a number does not fit its type.

    >>> encode_reading(source="pump-1", metric="rpm", time_us=1_760_000_000_000_000, value=1450.0)[:2].hex()
    'c301'
    """
    return b"".join(
        (
            READING_V1.prefix,
            _text(tenant),
            _text(source),
            _text(metric),
            _attributes(attributes),
            _NULL if producer is None else _PRESENT + _text(producer),
            _long(epoch),
            _sequence(sequence, 1),
            _long(time_us),
            struct.pack("<d", value),
            _long(_quality(quality)),
            _long(_revision(revision)),
        )
    )


class Instants:
    """Which series of a dictionary are sampled when: encoded once for all batches that share it.

    ``time_us`` is in microseconds since 1970. Raises ValueError when the arrays are not equally long
    or hold no integers.
    """

    def __init__(self, series_index: Integers, time_us: Integers) -> None:
        self.series_index = _integers(series_index, "series_index")
        self.time_us = _integers(time_us, "time_us")
        _require_equal_lengths(self.series_index, self.time_us)

    def __len__(self) -> int:
        return len(self.series_index)

    @cached_property
    def encoded(self) -> bytes:
        """Both arrays as they stand in a message."""
        return b"".join(_array(len(self), varints(column)) for column in (self.series_index, self.time_us))

    @cached_property
    def index_bounds(self) -> Bounds | None:
        """The lowest and the highest series index."""
        return _bounds(self.series_index)


class BatchEncoder:
    """Encodes batches of one producer and one dictionary of series, which is encoded only once.

    >>> encoder = BatchEncoder("gateway-7", [SeriesRef("pump-1", "rpm"), SeriesRef("pump-1", "flow")])
    >>> time_us = [1_760_000_000_000_000, 1_760_000_000_000_000]
    >>> message = encoder.encode(series_index=[0, 1], time_us=time_us, value=[1450.0, 7.5])
    >>> message.startswith(READING_BATCH_V1.prefix)
    True
    """

    def __init__(self, producer: str, series: Sequence[SeriesRef], *, tenant: str = DEFAULT_TENANT) -> None:
        entries = b"".join(
            _text(ref.source) + _text(ref.metric) + _attributes(ref.attributes) for ref in series
        )
        self._series_count = len(series)
        self._header = b"".join(
            (READING_BATCH_V1.prefix, _text(tenant), _text(producer), _array(len(series), entries))
        )

    def encode(
        self,
        *,
        series_index: Integers,
        time_us: Integers,
        value: Floats,
        epoch: int = 0,
        first_sequence: int | None = None,
        quality: Integers | None = None,
        revision: Integers | None = None,
    ) -> bytes:
        """Return one batch as a message; reading i has the sequence number ``first_sequence + i``.

        Raises ValueError when the arrays differ in length or hold what the schema does not.
        """
        return self.encode_at(
            Instants(series_index, time_us),
            value,
            epoch=epoch,
            first_sequence=first_sequence,
            quality=quality,
            revision=revision,
        )

    def encode_at(
        self,
        instants: Instants,
        value: Floats,
        *,
        epoch: int = 0,
        first_sequence: int | None = None,
        quality: Integers | None = None,
        revision: Integers | None = None,
    ) -> bytes:
        """Return one batch as :meth:`encode` does, of instants that other batches share.

        >>> instants = Instants([0], [1_760_000_000_000_000])
        >>> pumps = [BatchEncoder("gateway-7", [SeriesRef(name, "rpm")]) for name in ("pump-1", "pump-2")]
        >>> [len(pump.encode_at(instants, [1450.0])) for pump in pumps]
        [69, 69]
        """
        values = np.asarray(value, "<f8")
        optional = [
            None if column is None else _integers(column, name)
            for column, name in ((quality, "quality"), (revision, "revision"))
        ]
        _require_equal_lengths(instants, values, *(column for column in optional if column is not None))
        _require(instants.index_bounds, 0, self._series_count - 1, "series_index")
        _require(_bounds(optional[0]), GOOD, BAD, "quality")
        _require(_bounds(optional[1]), 0, (1 << 31) - 1, "revision")
        return b"".join(
            (
                self._header,
                _long(epoch),
                _sequence(first_sequence, len(values)),
                instants.encoded,
                _array(len(values), values.tobytes()),
                *(
                    _NULL if column is None else _PRESENT + _array(len(values), varints(column))
                    for column in optional
                ),
            )
        )


def encode_batch(
    *,
    producer: str,
    series: Sequence[SeriesRef],
    series_index: Integers,
    time_us: Integers,
    value: Floats,
    tenant: str = DEFAULT_TENANT,
    epoch: int = 0,
    first_sequence: int | None = None,
    quality: Integers | None = None,
    revision: Integers | None = None,
) -> bytes:
    """Return one batch as a message. Who sends many of one dictionary keeps a :class:`BatchEncoder`."""
    return BatchEncoder(producer, series, tenant=tenant).encode(
        series_index=series_index,
        time_us=time_us,
        value=value,
        epoch=epoch,
        first_sequence=first_sequence,
        quality=quality,
        revision=revision,
    )


def reading_document(
    *,
    source: str,
    metric: str,
    time_us: int,
    value: float,
    tenant: str = DEFAULT_TENANT,
    attributes: Mapping[str, str] | None = None,
    producer: str | None = None,
    epoch: int = 0,
    sequence: int | None = None,
    quality: int = GOOD,
    revision: int = 0,
) -> dict[str, Any]:
    """Return one reading as the object that stands for it in JSON, without what is at its default.

    A value that is no finite number becomes None.

    >>> reading_document(source="pump-1", metric="rpm", time_us=1_760_000_000_000_000, value=1450.0)
    {'source': 'pump-1', 'metric': 'rpm', 'time': 1760000000000000, 'value': 1450.0}
    """
    document: dict[str, Any] = {
        "source": source,
        "metric": metric,
        "time": time_us,
        "value": value if math.isfinite(value) else None,
    }
    optional = {
        "tenant": (tenant, DEFAULT_TENANT),
        "attributes": (dict(attributes or {}), {}),
        "producer": (producer, None),
        "epoch": (epoch, 0),
        "sequence": (sequence, None),
        "quality": (QUALITIES[_quality(quality)], QUALITIES[GOOD]),
        "revision": (revision, 0),
    }
    document.update((name, given) for name, (given, default) in optional.items() if given != default)
    return document


def encode_json(documents: dict[str, Any] | Sequence[dict[str, Any]]) -> bytes:
    """Return one reading, or several as an array, as a JSON message; see :func:`reading_document`."""
    return json.dumps(documents, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def varints(numbers: npt.NDArray[np.int64]) -> bytes:
    """Return numbers as Avro longs: zigzag, seven bits a byte, the low ones first.

    >>> varints(np.array([0, -1, 1, 64])).hex()
    '0001028001'
    """
    zigzag = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)
    width = max(1, -(-int(zigzag.max(initial=0)).bit_length() // 7))
    if width == 1:
        return zigzag.astype(np.uint8).tobytes()
    groups = zigzag[:, None] >> (7 * np.arange(width, dtype=np.uint64))
    needed = groups != 0
    needed[:, 0] = True
    encoded = (groups & np.uint64(0x7F)).astype(np.uint8)
    encoded[:, :-1] |= needed[:, 1:].view(np.uint8) << 7
    return bytes(encoded[needed])


def _long(number: int) -> bytes:
    if not _INT64_MIN <= number <= _INT64_MAX:
        raise ValueError(f"{number} does not fit 64 bits")
    zigzag = (number << 1) ^ (number >> 63)
    encoded = bytearray()
    while zigzag > 0x7F:
        encoded.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    encoded.append(zigzag)
    return bytes(encoded)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _long(len(encoded)) + encoded


def _array(count: int, items: bytes) -> bytes:
    return _long(count) + items + _END_OF_ARRAY if count else _END_OF_ARRAY


def _attributes(attributes: Mapping[str, str] | None) -> bytes:
    if not attributes:
        return _NULL
    pairs = b"".join(_text(name) + _text(text) for name, text in attributes.items())
    return _PRESENT + _array(len(attributes), pairs)


def _sequence(sequence: int | None, count: int) -> bytes:
    if sequence is None:
        return _NULL
    if not 0 <= sequence <= _INT64_MAX - count:
        raise ValueError(f"sequence {sequence} of {count} readings is not within 0 and {_INT64_MAX}")
    return _PRESENT + _long(sequence)


def _integers(column: Integers, name: str) -> npt.NDArray[np.int64]:
    numbers = np.asarray(column)
    if len(numbers) and numbers.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers")
    return numbers.astype(np.int64)


def _quality(quality: int) -> int:
    if not GOOD <= quality <= BAD:
        raise ValueError(f"quality {quality} is not 0 (good), 1 (uncertain) or 2 (bad)")
    return quality


def _revision(revision: int) -> int:
    if not 0 <= revision < 1 << 31:
        raise ValueError(f"revision {revision} is not within 0 and 2147483647")
    return revision


def _bounds(column: npt.NDArray[np.int64] | None) -> Bounds | None:
    return None if column is None or not len(column) else (int(column.min()), int(column.max()))


def _require(bounds: Bounds | None, low: int, high: int, name: str) -> None:
    if bounds is not None and not low <= bounds[0] <= bounds[1] <= high:
        raise ValueError(f"{name} must lie within {low} and {high}")


def _require_equal_lengths(*columns: Sized) -> None:
    if len({len(column) for column in columns}) != 1:
        raise ValueError("series_index, time_us, value, quality and revision must be equally long")
