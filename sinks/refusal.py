"""Readings that a sink refuses for their series, as dead letters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from schemas.encode import encode_json, reading_document
from sinks.protocols import Part
from streams.core.batch import UNNUMBERED, Bools, Columns
from streams.core.rejection import Reason, Rejection
from streams.core.series import SeriesTable


def refuse_series(parts: list[Part], refused: Bools, series: SeriesTable) -> list[Part]:
    """Return ``parts`` with the refused readings turned into ``SERIES_LIMIT`` rejections.

    ``refused`` has one entry a reading, in the order of the parts and their columns. The payload of
    such a rejection is the reading as JSON, which can be published again under a higher limit.
    """
    result, start = [], 0
    for part in parts:
        columns, rejections = [], list(part.rejections)
        for before in part.columns:
            mask = refused[start : start + len(before)]
            start += len(before)
            columns.append(before.take(~mask))
            rejections += [_rejection(before, row, series) for row in np.flatnonzero(mask).tolist()]
        result.append(replace(part, columns=columns, rejections=rejections))
    return result


def _rejection(columns: Columns, row: int, series: SeriesTable) -> Rejection:
    key = series.keys[columns.series[row]]
    sequence = int(columns.sequence[row])
    document = reading_document(
        tenant=key.tenant,
        source=key.source,
        metric=key.metric,
        attributes=dict(key.attributes),
        time_us=int(columns.time_us[row]),
        value=float(columns.value[row]),
        quality=int(columns.quality[row]),
        revision=int(columns.revision[row]),
        epoch=int(columns.epoch[row]),
        sequence=None if sequence == UNNUMBERED else sequence,
    )
    return Rejection.of(
        int(columns.offset[row]),
        int(columns.index[row]),
        Reason.SERIES_LIMIT,
        f"tenant {key.tenant!r} has as many series as max_series_per_tenant allows",
        encode_json(document),
    )
