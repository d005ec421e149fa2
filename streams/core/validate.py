"""Columns to columns: refuses what was understood but cannot be true or cannot be stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Generic, TypeVar

import numpy as np
import orjson

from schemas.encode import BAD, GOOD, reading_document
from schemas.registry import QUALITIES
from streams.core.batch import UNNUMBERED, Bools, Columns, Decoded, Int32, Int64
from streams.core.limits import Limits
from streams.core.rejection import MAX_READING_PAYLOAD_BYTES, Reason, Rejection
from streams.core.series import SeriesKey, SeriesTable

EARLIEST_US = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
LATEST_US = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
"""Event times lie within ``[EARLIEST_US, LATEST_US)``; anything else is a broken clock."""

MAX_UNIT_CHARS = 40

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNIT = re.compile(rf"[!-~]{{1,{MAX_UNIT_CHARS}}}")

Fault = tuple[Reason, str]
Name = TypeVar("Name")


def fault_of_series(key: SeriesKey) -> Fault | None:
    """Return what is wrong with a series' names or attributes, or None.

    >>> fault_of_series(SeriesKey("default", "pump-1", "rpm", (("unit", "° C"),)))
    (<Reason.BAD_UNIT: 'bad_unit'>, "unit '° C' is not 1 to 40 printable ASCII characters without spaces")
    """
    for what, name in zip(("tenant", "source", "metric"), key[:3], strict=True):
        if not name:
            return Reason.BAD_NAME, f"{what} is empty"
        if _CONTROL.search(name):
            return Reason.BAD_NAME, f"{what} {name!r} contains a control character"
    for name, text in key.attributes:
        if not name or _CONTROL.search(name) or _CONTROL.search(text):
            return Reason.BAD_ATTRIBUTES, f"attribute {name!r} is empty or contains a control character"
        if name == "unit" and not _UNIT.fullmatch(text):
            return (
                Reason.BAD_UNIT,
                f"unit {text!r} is not 1 to {MAX_UNIT_CHARS} printable ASCII characters without spaces",
            )
    return None


def fault_of_producer(name: str) -> Fault | None:
    """Return what is wrong with a producer's name, or None."""
    if _CONTROL.search(name):
        return Reason.BAD_NAME, f"producer {name!r} contains a control character"
    return None


class _Verdicts(Generic[Name]):
    """The faults of a growing list of names, each judged once; a new list begins anew."""

    def __init__(self, judge: Callable[[Name], Fault | None]) -> None:
        self._judge = judge
        self._names: Sequence[Name] = ()
        self._faults: list[Fault | None] = []
        self._faulty: Bools = np.zeros(0, np.bool_)

    def update(self, names: Sequence[Name]) -> None:
        """Judge the names that are new."""
        if names is not self._names:
            self._names, self._faults = names, []
        elif len(names) == len(self._faults):
            return
        self._faults.extend(map(self._judge, names[len(self._faults) :]))
        self._faulty = np.array([fault is not None for fault in self._faults], np.bool_)

    def faulty(self, indices: Int32) -> Bools:
        """Return which of ``indices`` stand for a name that has a fault."""
        return self._faulty[indices]

    def fault(self, index: int) -> Fault | None:
        """Return the fault of one name."""
        return self._faults[index]


class Validator:
    """Checks whole chunks of decoded readings.

    >>> from streams.core.batch import Messages
    >>> from streams.core.decode import Decoder
    >>> decoder, validator = Decoder(Limits(), SeriesTable()), Validator(Limits())
    >>> value = b'{"source":"pump-1","metric":"rpm","time":0,"value":1450}'
    >>> decoded = decoder.decode(Messages([value], [None], np.array([7]), np.array([1769860800000])))
    >>> validator.validate(decoded, decoder.series, decoder.producers).rejections[0].detail
    'event time 1970-01-01T00:00:00.000000Z is not within 2000-01-01 and 2100-01-01'
    """

    def __init__(self, limits: Limits) -> None:
        self._max_future_us = round(limits.max_future_s * 1_000_000)
        self._series = _Verdicts(fault_of_series)
        self._producers = _Verdicts(fault_of_producer)

    def validate(self, decoded: Decoded, series: SeriesTable, producers: Sequence[str]) -> Decoded:
        """Return the readings that can be stored, and a rejection more for each that cannot.

        ``series`` and ``producers`` name the integers in the columns. A value that is not finite
        stays, as NaN, where the quality says that it is bad.
        """
        columns = decoded.columns
        self._series.update(series.keys)
        self._producers.update(producers)
        finite = np.isfinite(columns.value)
        good = (
            (finite | (columns.quality == BAD))
            & (columns.time_us >= EARLIEST_US)
            & (columns.time_us < self._horizon_us(columns.stamp_ms))
            & (columns.quality >= GOOD)
            & (columns.revision >= 0)
        )
        good &= ~self._series.faulty(columns.series)
        good &= ~self._producers.faulty(columns.producer)
        rejections = decoded.rejections
        if not good.all():
            refused = [self._rejection(columns, int(row), series, producers) for row in np.flatnonzero(~good)]
            rejections = sorted([*rejections, *refused], key=attrgetter("offset", "index"))
            columns, finite = columns.take(good), finite[good]
        if not finite.all():
            columns = replace(columns, value=np.where(finite, columns.value, np.nan))
        return Decoded(columns, rejections)

    def _horizon_us(self, stamp_ms: Int64) -> Int64:
        """Return the first event time that is too late for each record's Kafka timestamp."""
        stamp_us = np.clip(stamp_ms, 0, LATEST_US // 1000) * 1000
        return np.minimum(stamp_us + (self._max_future_us + 1), LATEST_US)

    def _rejection(
        self, columns: Columns, row: int, series: SeriesTable, producers: Sequence[str]
    ) -> Rejection:
        reason, detail = self._fault(columns, row)
        return Rejection.of(
            int(columns.offset[row]),
            int(columns.index[row]),
            reason,
            detail,
            reading_payload(columns, row, series, producers),
            MAX_READING_PAYLOAD_BYTES,
        )

    def _fault(self, columns: Columns, row: int) -> Fault:
        """Return the first fault of a reading that is known to have one."""
        time_us, stamp_ms = int(columns.time_us[row]), int(columns.stamp_ms[row])
        named = self._series.fault(columns.series[row]) or self._producers.fault(columns.producer[row])
        if named:
            return named
        if columns.quality[row] < GOOD:
            return Reason.BAD_QUALITY, f"quality is none of {', '.join(QUALITIES)}"
        if columns.revision[row] < 0:
            return Reason.BAD_REVISION, "revision is not within 0 and 2147483647"
        if not EARLIEST_US <= time_us < LATEST_US:
            text = np.datetime_as_string(np.datetime64(time_us, "us"))
            return Reason.TIME_OUT_OF_BOUNDS, f"event time {text}Z is not within 2000-01-01 and 2100-01-01"
        ahead_us = time_us - stamp_ms * 1000
        if ahead_us > self._max_future_us:
            return Reason.FUTURE, (
                f"event time is {ahead_us / 1e6:.3f} s ahead of the record's Kafka timestamp,"
                f" {self._max_future_us / 1e6:g} s are allowed"
            )
        return Reason.NOT_FINITE, f"value is {columns.value[row]} and the quality is not bad"


def reading_payload(columns: Columns, row: int, series: SeriesTable, producers: Sequence[str]) -> bytes:
    """Return one reading as a JSON message that says the same, whatever it came as."""
    key = series.keys[columns.series[row]]
    quality, revision, sequence = (
        int(column[row]) for column in (columns.quality, columns.revision, columns.sequence)
    )
    document = reading_document(
        tenant=key.tenant,
        source=key.source,
        metric=key.metric,
        attributes=dict(key.attributes),
        producer=producers[columns.producer[row]] or None,
        epoch=int(columns.epoch[row]),
        sequence=None if sequence == UNNUMBERED else sequence,
        time_us=int(columns.time_us[row]),
        value=float(columns.value[row]),
        quality=max(quality, GOOD),
        revision=max(revision, 0),
    )
    if quality < GOOD:
        document["quality"] = "invalid"
    if revision < 0:
        document["revision"] = revision
    return orjson.dumps(document)
