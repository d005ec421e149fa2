"""Readings in Parquet: what is smallest and every reader of Parquet understands.

Sorted by series and time. Times are delta-encoded; of the ways to write values the one is taken that is
smallest for the first of them. Source: https://parquet.apache.org/docs/file-format/data-pages/encodings/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from io import BytesIO
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from jobs.archive.target import needed
from streams.core.batch import NEVER_US, Int32, Int64

COMPRESSION_LEVEL = 9
VALUE_ENCODINGS = ("BYTE_STREAM_SPLIT", "PLAIN")
TRIED_ROWS = 50_000

Names = Mapping[int, tuple[str, str]]
"""Source and metric of each series."""

READING = np.dtype(
    [("series_id", "<i4"), ("time_us", "<i8"), ("value", "<f8"), ("quality", "<i2"), ("late", "?")]
)
"""One reading, without padding: its bytes are all that it is."""

Readings = npt.NDArray[np.void]


class Content(NamedTuple):
    """What some readings are: how many, between which times and values, and a digest of all of them.

    ``lowest`` and ``highest`` are NaN where no reading has a value.
    """

    readings: int
    first_us: int
    last_us: int
    lowest: float
    highest: float
    sha256: str


class Account:
    """Sums readings up as they pass by."""

    def __init__(self) -> None:
        self._digest = sha256()
        self._readings = 0
        self._first_us, self._last_us = np.iinfo(np.int64).max, NEVER_US
        self._lowest = self._highest = np.nan

    def of(self, parts: Iterable[Readings]) -> Iterator[Readings]:
        """Yield the same parts, each taken in."""
        for part in parts:
            self._digest.update(part.tobytes())
            self._readings += len(part)
            self._first_us = min(self._first_us, int(part["time_us"].min(initial=self._first_us)))
            self._last_us = max(self._last_us, int(part["time_us"].max(initial=self._last_us)))
            self._lowest = float(np.fmin.reduce(part["value"], initial=self._lowest))
            self._highest = float(np.fmax.reduce(part["value"], initial=self._highest))
            yield part

    def content(self) -> Content:
        """Return what passed by."""
        digest = self._digest.hexdigest()
        return Content(self._readings, self._first_us, self._last_us, self._lowest, self._highest, digest)


def write_readings(file: BinaryIO, tenant: str, parts: Iterable[Readings], names: Names) -> None:
    """Write readings of a tenant, each part as a group of rows; there is one part at least."""
    pq = needed("pyarrow.parquet")
    source = iter(parts)
    first = next(source)
    table = _table(tenant, first, names)
    with pq.ParquetWriter(file, table.schema, **_options(_smallest(table))) as writer:
        writer.write_table(table)
        for part in source:
            writer.write_table(_table(tenant, part, names))


def read_readings(file: BinaryIO, numbers: Mapping[tuple[str, str], int]) -> Iterator[Readings]:
    """Yield what was written, group by group. ``numbers`` are the series of each source and metric."""
    pq = needed("pyarrow.parquet")
    with pq.ParquetFile(file) as parquet:
        for group in range(parquet.num_row_groups):
            yield _readings(parquet.read_row_group(group), numbers)


def read_names(file: BinaryIO) -> list[tuple[str, str]]:
    """Return source and metric of each series that a file has readings of."""
    pq = needed("pyarrow.parquet")
    names: set[tuple[str, str]] = set()
    with pq.ParquetFile(file) as parquet:
        for group in range(parquet.num_row_groups):
            columns = parquet.read_row_group(group, columns=["source", "metric"])
            names.update(_names(columns)[0])
    return sorted(names)


def _options(values: str) -> dict[str, Any]:
    return {
        "compression": "zstd",
        "compression_level": COMPRESSION_LEVEL,
        "use_dictionary": ["tenant", "source", "metric", "quality"],
        "column_encoding": {"ts": "DELTA_BINARY_PACKED", "value": values, "late": "RLE"},
    }


def _smallest(table: Any) -> str:
    """Return the encoding of values that makes the beginning of a table smallest."""
    pq = needed("pyarrow.parquet")
    beginning = table.slice(0, TRIED_ROWS)
    sizes = {}
    for encoding in VALUE_ENCODINGS:
        tried = BytesIO()
        pq.write_table(beginning, tried, **_options(encoding))
        sizes[encoding] = tried.tell()
    return min(sizes, key=sizes.__getitem__)


def _table(tenant: str, part: Readings, names: Names) -> Any:
    pa = needed("pyarrow")
    series, place = np.unique(part["series_id"], return_inverse=True)
    sources, metrics = zip(*(names[number] for number in series.tolist()), strict=True)

    def worded(words: Iterable[str]) -> Any:
        known, index = np.unique(np.array(list(words), object), return_inverse=True)
        return pa.DictionaryArray.from_arrays(
            pa.array(index[place], pa.int32()), pa.array(known.tolist(), pa.string())
        )

    return pa.table(
        {
            "tenant": worded([tenant] * len(series)),
            "source": worded(sources),
            "metric": worded(metrics),
            "ts": pa.array(np.ascontiguousarray(part["time_us"]), pa.timestamp("us", tz="UTC")),
            "value": pa.array(np.ascontiguousarray(part["value"]), pa.float64()),
            "quality": pa.array(part["quality"].astype(np.int8), pa.int8()),
            "late": pa.array(part["late"].astype(bool), pa.bool_()),
        }
    )


def _names(table: Any) -> tuple[list[tuple[str, str]], Int64]:
    """Return the series of a table by name, and which of them each row is of."""
    coded = [table.column(name).combine_chunks().dictionary_encode() for name in ("source", "metric")]
    words = [column.dictionary.to_pylist() for column in coded]
    codes = [column.indices.to_numpy(zero_copy_only=False).astype(np.int64) for column in coded]
    pairs, place = np.unique(codes[0] * len(words[1]) + codes[1], return_inverse=True)
    return [
        (words[0][pair // len(words[1])], words[1][pair % len(words[1])]) for pair in pairs.tolist()
    ], place


def _readings(table: Any, numbers: Mapping[tuple[str, str], int]) -> Readings:
    pa = needed("pyarrow")
    names, place = _names(table)
    series_id: Int32 = np.array([numbers[name] for name in names], np.int32)
    readings = np.empty(table.num_rows, READING)
    readings["series_id"] = series_id[place]
    readings["time_us"] = table.column("ts").cast(pa.int64()).to_numpy()
    readings["value"] = table.column("value").to_numpy()
    readings["quality"] = table.column("quality").to_numpy()
    readings["late"] = table.column("late").to_numpy()
    return readings


def packed(parts: Iterable[Readings], most: int) -> Iterator[Readings]:
    """Yield the same readings in parts of about ``most``, which make better groups of rows.

    >>> [len(part) for part in packed([np.zeros(2, READING)] * 5, most=4)]
    [4, 4, 2]
    """
    held: list[Readings] = []
    for part in chain(parts, [None]):
        if held and (part is None or sum(map(len, held)) + len(part) > most):
            yield np.concatenate(held)
            held = []
        if part is not None and len(part):
            held.append(part)
