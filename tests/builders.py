"""Small inputs for tests, with everything at its default that a test does not speak of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sinks.protocols import Flush, Part, Partition
from streams.core.batch import COLUMN_TYPES, UNNUMBERED, Columns
from streams.core.series import SeriesKey, SeriesTable

BASE_US = 1_760_000_000_000_000
"""2025-10-09 08:53:20 UTC."""

P0, P1 = Partition("readings", 0), Partition("readings", 1)


def series_table(*names: str | SeriesKey) -> SeriesTable:
    """Return a table of these series; a plain name is a metric of pump-1."""
    table = SeriesTable()
    for name in names:
        table.intern(name if isinstance(name, SeriesKey) else SeriesKey("default", "pump-1", name))
    return table


def columns(series: Sequence[int], **given: Sequence[Any]) -> Columns:
    """Return readings of these series, a millisecond and a Kafka offset apart."""
    count = len(series)
    defaults: dict[str, Any] = dict.fromkeys(COLUMN_TYPES, [0] * count)
    defaults.update(
        series=series,
        time_us=[BASE_US + 1000 * row for row in range(count)],
        value=[float(row) for row in range(count)],
        sequence=[UNNUMBERED] * count,
        offset=range(count),
    )
    defaults.update(given)
    return Columns(**{name: np.array(defaults[name], kind) for name, kind in COLUMN_TYPES.items()})


def flush_of(table: SeriesTable, *parts: Part) -> Flush:
    """Return a flush of ``parts``."""
    return Flush(list(parts), table)
