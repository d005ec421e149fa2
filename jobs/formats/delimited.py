"""Readings as CSV with a header: ``timestamp,value``, or ``ts,source,metric,value`` and more columns."""

from __future__ import annotations

import csv
from collections import Counter

from jobs.formats.base import (
    BadLine,
    Defaults,
    Reading,
    check,
    parse_number,
    parse_quality,
)
from jobs.formats.times import time_parser

TIME_COLUMNS = frozenset({"timestamp", "ts", "time"})
NAME_COLUMNS = frozenset({"source", "metric", "tenant"})
OTHER_COLUMNS = frozenset({"value", "quality", "revision"})


def is_header(line: str) -> bool:
    """Return whether ``line`` names the columns of readings.

    >>> is_header("ts,source,metric,value"), is_header("2024-05-01,1.5")
    (True, False)
    """
    names = {name.strip().lower() for name in line.split(",")}
    return "value" in names and bool(names & TIME_COLUMNS)


class DelimitedParser:
    """Reads the lines below a header. Columns it does not know are attributes of the series.

    >>> parse = DelimitedParser("timestamp,value", Defaults(source="pump-1", metric="rpm"))
    >>> parse("2024-05-01 12:00:00,1450")[0].time_us
    1714564800000000
    """

    def __init__(self, header: str, defaults: Defaults) -> None:
        self.skipped: Counter[str] = Counter()
        self._defaults = defaults
        self._parse_time = time_parser(defaults.time_unit)
        self._columns = [name.strip().lower() for name in _cells(header)]
        if len(set(self._columns)) != len(self._columns):
            raise BadLine("the header names a column twice")
        known = TIME_COLUMNS | NAME_COLUMNS | OTHER_COLUMNS
        self._attribute_columns = [name for name in self._columns if name not in known]
        self._time_column = next(name for name in self._columns if name in TIME_COLUMNS)

    def __call__(self, line: str) -> list[Reading]:
        cells = _cells(line)
        if len(cells) != len(self._columns):
            raise BadLine(f"{len(cells)} cells where the header has {len(self._columns)}")
        row = {name: cell.strip() for name, cell in zip(self._columns, cells, strict=True)}
        attributes = dict(self._defaults.attributes)
        attributes.update((name, row[name]) for name in self._attribute_columns if row[name])
        reading = Reading(
            source=row.get("source") or self._defaults.source or "",
            metric=row.get("metric") or self._defaults.metric or "",
            time_us=self._parse_time(row[self._time_column]),
            value=parse_number(row["value"]),
            tenant=row.get("tenant") or self._defaults.tenant,
            quality=parse_quality(row.get("quality") or "good"),
            revision=_revision(row.get("revision") or "0"),
            attributes=tuple(sorted(attributes.items())),
        )
        return [check(reading)]


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise BadLine(f"not CSV: {error}") from None


def _revision(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise BadLine(f"revision {text!r} is not a number from 0 on")
    return int(text)
