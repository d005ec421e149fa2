"""Avro read exactly, one message at a time: every form that the specification allows, nothing else.

This is the reference that the array readers must agree with. They take the common form of a
message, many at once, and hand every other message to this one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from schemas.registry import QUALITIES
from streams.core.batch import UNNUMBERED
from streams.core.limits import Limits
from streams.core.names import ANONYMOUS, Names
from streams.core.rejection import Reason, Refused
from streams.core.wire.rows import INVALID, MAX_REVISION, Row

_INT64_MAX = (1 << 63) - 1
_MAX_VARINT_BYTES = 10
_DOUBLE = struct.Struct("<d")


class AvroReader:
    """Reads Avro's primitive types from ``data``, beginning at ``position``.

    Every method raises :class:`Refused` (``undecodable``) where the bytes do not encode what is asked.
    """

    __slots__ = ("_data", "position")

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self.position = position

    def long(self) -> int:
        """Read an int or a long."""
        if self.position < len(self._data) and (byte := self._data[self.position]) < 0x80:
            self.position += 1  # most numbers take one byte
            return (byte >> 1) ^ -(byte & 1)
        zigzag = shift = 0
        for byte in self._data[self.position : self.position + _MAX_VARINT_BYTES]:
            zigzag |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                if zigzag >> 64:
                    raise self._undecodable("a number of more than 64 bits")
                self.position += shift // 7
                return (zigzag >> 1) ^ -(zigzag & 1)
        raise self._undecodable("a number that does not end")

    def double(self) -> float:
        """Read a double."""
        return float(_DOUBLE.unpack(self._bytes(8))[0])

    def text(self) -> str:
        """Read a string."""
        length = self.long()
        if length < 0:
            raise self._undecodable(f"a string of length {length}")
        try:
            return self._bytes(length).decode()
        except UnicodeDecodeError as error:
            raise self._undecodable("text that is not UTF-8") from error

    def present(self) -> bool:
        """Read the branch of a union of null and a type: whether the type follows."""
        branch = self.long()
        if branch not in (0, 1):
            raise self._undecodable(f"branch {branch} of a union of two")
        return branch == 1

    def items(self, most: int, too_many: Reason) -> Iterator[None]:
        """Yield once for each item of an array or map, before it is read.

        Raises :class:`Refused` with ``too_many`` as soon as the array claims more than ``most`` items.
        """
        total = 0
        while count := self.long():
            size = self.long() if count < 0 else None
            begin = self.position
            total += abs(count)
            if total > most:
                raise Refused(too_many, f"{total} at byte {begin}, {most} are allowed")
            for _ in range(abs(count)):
                yield
            if size is not None and self.position - begin != size:
                raise self._undecodable(f"a block of {self.position - begin} bytes that claims {size}")

    def end(self) -> None:
        """Raise :class:`Refused` (``trailing_bytes``) unless everything was read."""
        left = len(self._data) - self.position
        if left:
            raise Refused(Reason.TRAILING_BYTES, f"{left} bytes follow the record")

    def _bytes(self, length: int) -> bytes:
        begin = self.position
        taken = self._data[begin : begin + length]
        if len(taken) != length:
            raise self._undecodable(f"the end of the message within {length} bytes")
        self.position += length
        return taken

    def _undecodable(self, what: str) -> Refused:
        return Refused(Reason.UNDECODABLE, f"{what} at byte {self.position}")


class ReadingHeader(NamedTuple):
    """What comes first in a reading; ``producer`` is None where the message key stands for it."""

    series: int
    producer: int | None


class BatchHeader(NamedTuple):
    """What comes first in a batch: its producer, and for each series of its dictionary the table's index."""

    producer: int
    series: tuple[int, ...]


def read_reading_header(reader: AvroReader, names: Names, limits: Limits) -> ReadingHeader:
    """Read a ``Reading`` up to and with its producer."""
    tenant, source, metric = reader.text(), reader.text(), reader.text()
    attributes = _attributes(reader, limits)
    producer = reader.text() if reader.present() else None
    return ReadingHeader(
        names.series_index(tenant, source, metric, attributes.items()),
        None if producer is None else names.producer_index(producer),
    )


def read_batch_header(reader: AvroReader, names: Names, limits: Limits) -> BatchHeader:
    """Read a ``ReadingBatch`` up to and with its dictionary of series."""
    tenant = reader.text()
    producer = names.producer_index(reader.text())
    series = tuple(
        names.series_index(tenant, reader.text(), reader.text(), _attributes(reader, limits).items())
        for _ in reader.items(limits.max_readings_per_message, Reason.TOO_MANY_READINGS)
    )
    return BatchHeader(producer, series)


def read_reading(
    reader: AvroReader, header: ReadingHeader, names: Names, message: int, key: bytes | None
) -> Row:
    """Read the rest of a ``Reading``."""
    epoch = reader.long()
    sequence = reader.long() if reader.present() else None
    time_us = reader.long()
    value = reader.double()
    quality, revision = _quality(reader.long()), _revision(reader.long())
    reader.end()
    producer = names.producer_of_key(key) if header.producer is None else header.producer
    first = first_sequence(sequence, producer, 1)
    return Row(message, 0, header.series, time_us, value, quality, revision, producer, epoch, first)


class BatchBody(NamedTuple):
    """The arrays of a batch, equally long; ``series_index`` points into the batch's dictionary."""

    epoch: int
    first_sequence: int
    series_index: list[int]
    time_us: list[int]
    value: list[float]
    quality: list[int]
    revision: list[int]


def read_batch_body(reader: AvroReader, header: BatchHeader, limits: Limits) -> BatchBody:
    """Read the rest of a ``ReadingBatch``. Raises :class:`Refused`, ``shape`` where lengths differ."""
    most = limits.max_readings_per_message
    epoch = reader.long()
    numbered = reader.long() if reader.present() else None
    series_index, time_us = _longs(reader, most), _longs(reader, most)
    value = [reader.double() for _ in reader.items(most, Reason.TOO_MANY_READINGS)]
    quality = _longs(reader, most) if reader.present() else [0] * len(value)
    revision = _longs(reader, most) if reader.present() else [0] * len(value)
    reader.end()
    lengths = [len(column) for column in (series_index, time_us, value, quality, revision)]
    if len(set(lengths)) > 1:
        raise Refused(
            Reason.SHAPE,
            "series_index, time, value, quality and revision have {}, {}, {}, {} and {} entries".format(
                *lengths
            ),
        )
    if not value:
        raise Refused(Reason.EMPTY, "a batch without readings")
    return BatchBody(
        epoch,
        first_sequence(numbered, header.producer, len(value)),
        series_index,
        time_us,
        value,
        [_quality(number) for number in quality],
        [_revision(number) for number in revision],
    )


def first_sequence(numbered: int | None, producer: int, count: int) -> int:
    """Return the sequence number of the first of ``count`` readings, or ``UNNUMBERED``.

    Nobody's numbers mean nothing: readings of no producer are not numbered.
    Raises :class:`Refused` (``bad_sequence``) where a number would be negative or over 64 bits.
    """
    if numbered is None:
        return UNNUMBERED
    if not 0 <= numbered <= _INT64_MAX - count:
        raise Refused(
            Reason.BAD_SEQUENCE, f"sequence {numbered} of {count} readings leaves 0 to {_INT64_MAX}"
        )
    return UNNUMBERED if producer == ANONYMOUS else numbered


def _attributes(reader: AvroReader, limits: Limits) -> dict[str, str]:
    if not reader.present():
        return {}
    return {reader.text(): reader.text() for _ in reader.items(limits.max_attributes, Reason.BAD_ATTRIBUTES)}


def _longs(reader: AvroReader, most: int) -> list[int]:
    return [reader.long() for _ in reader.items(most, Reason.TOO_MANY_READINGS)]


def _quality(number: int) -> int:
    return number if 0 <= number < len(QUALITIES) else INVALID


def _revision(number: int) -> int:
    return number if 0 <= number <= MAX_REVISION else INVALID
