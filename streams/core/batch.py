"""The columns that readings travel in between decoding and COPY."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.core.rejection import Rejection

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
Int16 = npt.NDArray[np.int16]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NEVER_US = np.iinfo(np.int64).min
"""An event time before any other."""

UNNUMBERED = -1
"""``sequence`` of a reading whose producer does not number its readings."""


class Envelopes(NamedTuple):
    """What is around the values of some records: all that is kept of them until they are stored."""

    offsets: Int64
    keys: Sequence[bytes | None]
    timestamps_ms: Int64


@dataclass(frozen=True, slots=True)
class Messages:
    """The records of one fetched chunk of one partition, undecoded, in log order.

    ``offsets`` and ``timestamps_ms`` (the record's Kafka timestamp) have one entry a record.
    """

    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    offsets: Int64
    timestamps_ms: Int64

    def __len__(self) -> int:
        return len(self.values)

    @property
    def envelopes(self) -> Envelopes:
        """The records without their values."""
        return Envelopes(self.offsets, self.keys, self.timestamps_ms)

    @staticmethod
    def joined(chunks: Sequence[Messages]) -> Messages:
        """Join the records of several partitions; their offsets are their rows, from 0 on."""
        return Messages(
            values=[value for chunk in chunks for value in chunk.values],
            keys=[key for chunk in chunks for key in chunk.keys],
            offsets=np.arange(sum(map(len, chunks))),
            timestamps_ms=np.concatenate([chunk.timestamps_ms for chunk in chunks]),
        )


@dataclass(frozen=True, slots=True)
class Columns:
    """Readings as parallel arrays, one entry a reading, in log order.

    ========== ======== =====================================================================
    series     int32    index in the decoder's :class:`~streams.core.series.SeriesTable`
    time_us    int64    event time, microseconds since 1970-01-01 UTC
    value      float64  the measurement; NaN only where the quality is bad
    quality    int16    0 good, 1 uncertain, 2 bad (OPC UA's three severities)
    revision   int32    0, or higher for a correction of a reading sent before
    producer   int32    index in the decoder's list of producer names; two tenants may share a name
    epoch      int64    the producer's epoch
    sequence   int64    the producer's number of this reading, or ``UNNUMBERED``
    offset     int64    Kafka offset of the record that held it
    index      int32    position inside that record
    stamp_ms   int64    Kafka timestamp of that record, milliseconds since 1970
    ========== ======== =====================================================================
    """

    series: Int32
    time_us: Int64
    value: Float64
    quality: Int16
    revision: Int32
    producer: Int32
    epoch: Int64
    sequence: Int64
    offset: Int64
    index: Int32
    stamp_ms: Int64

    def __len__(self) -> int:
        return len(self.time_us)

    def take(self, rows: npt.NDArray[np.intp] | Bools | slice) -> Columns:
        """Return the readings that ``rows`` (indices, a mask or a range) selects."""
        return Columns(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @staticmethod
    def concat(parts: Sequence[Columns]) -> Columns:
        """Join several column sets in the order given.

        >>> len(Columns.concat([Columns.empty(), Columns.empty()]))
        0
        """
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return Columns.empty()
        return Columns(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Columns)}
        )

    @staticmethod
    def empty() -> Columns:
        """Return columns of no reading."""
        return Columns(**{name: np.empty(0, dtype) for name, dtype in COLUMN_TYPES.items()})


class Points(NamedTuple):
    """Readings of series of the database, as parallel arrays: what of them is worked with in order."""

    series_id: Int32
    time_us: Int64
    value: Float64
    quality: Int16

    def take(self, rows: npt.NDArray[np.intp] | Bools) -> Points:
        """Return the readings that ``rows`` (indices or a mask) selects."""
        return Points(self.series_id[rows], self.time_us[rows], self.value[rows], self.quality[rows])

    @staticmethod
    def concat(parts: Sequence[Points]) -> Points:
        """Join several in the order given.

        >>> len(Points.concat([]).time_us)
        0
        """
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return Points(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int16))
        return Points(*map(np.concatenate, zip(*parts, strict=True)))


COLUMN_TYPES: dict[str, type[np.generic]] = {
    "series": np.int32,
    "time_us": np.int64,
    "value": np.float64,
    "quality": np.int16,
    "revision": np.int32,
    "producer": np.int32,
    "epoch": np.int64,
    "sequence": np.int64,
    "offset": np.int64,
    "index": np.int32,
    "stamp_ms": np.int64,
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a chunk: readings, and what was refused with a reason each.

    ``len(columns) + len(rejections)`` accounts for every reading and every undecodable record.
    """

    columns: Columns
    rejections: list[Rejection]
