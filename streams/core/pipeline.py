"""The order of the stages, stated once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from streams.core.batch import Decoded, Int64, Messages
from streams.core.decode import Decoder, ResolveSchemaId
from streams.core.limits import Limits
from streams.core.series import SeriesTable
from streams.core.validate import Validator

CHUNK_STAGES = ("decode", "validate")
"""What a chunk goes through before it is collected for a flush, in this order."""

FLUSH_STAGES = ("deduplicate", "order", "detect")
"""What a flush goes through once its series are known to the database; the last where it is asked for."""

STAGES = CHUNK_STAGES + FLUSH_STAGES

MAX_NAMES = 2_000_000
"""Names remembered before they are all forgotten and learnt again; bounds the memory."""

Timed = Callable[[str], AbstractContextManager[object]]
"""Measures a block by the name of its stage; the clock is outside."""


def untimed(_stage: str) -> AbstractContextManager[object]:
    """Measure nothing."""
    return nullcontext()


class Staged(NamedTuple):
    """What a chunk became, with the tables that its series and its producers point into."""

    decoded: Decoded
    series: SeriesTable
    producers: Sequence[str]


class Pipeline:
    """Runs chunks through the stages.

    >>> import numpy as np
    >>> pipeline = Pipeline(Limits())
    >>> value = b'{"source":"pump-1","metric":"rpm","time":"2026-01-31T12:00:00Z","value":1450}'
    >>> decoded, series, _ = pipeline(Messages([value], [None], np.array([7]), np.array([1769860800000])))
    >>> series.keys[decoded.columns.series[0]].metric, decoded.rejections
    ('rpm', [])
    """

    def __init__(
        self, limits: Limits, resolve_schema_id: ResolveSchemaId | None = None, timed: Timed = untimed
    ) -> None:
        self._timed = timed
        self._decoder = Decoder(limits, SeriesTable(), resolve_schema_id)
        self._validator = Validator(limits)

    def __call__(self, messages: Messages) -> Staged:
        """Return the readings and refusals of a chunk."""
        return self.together([messages])[0]

    def together(self, chunks: Sequence[Messages]) -> list[Staged]:
        """Return what each chunk became; many small ones cost together little more than one."""
        if len(chunks) == 1:
            return [self._staged(chunks[0])]
        decoded, series, producers = self._staged(Messages.joined(chunks))
        ends = np.cumsum([0, *map(len, chunks)])
        offsets = np.concatenate([chunk.offsets for chunk in chunks])
        return [Staged(part, series, producers) for part in _split(decoded, ends, offsets)]

    def _staged(self, messages: Messages) -> Staged:
        with self._timed("decode"):
            self._decoder.reset_if_over(MAX_NAMES)
            decoded = self._decoder.decode(messages)
        series = self._decoder.series
        producers = self._decoder.producers
        with self._timed("validate"):
            return Staged(self._validator.validate(decoded, series, producers), series, producers)


def _split(decoded: Decoded, ends: Int64, offsets: Int64) -> list[Decoded]:
    """Cut what joined chunks became between them, and put the records' own offsets in place of their rows."""
    columns = replace(decoded.columns, offset=offsets[decoded.columns.offset])
    rows = [rejection.offset for rejection in decoded.rejections]
    rejections = [
        replace(rejection, offset=int(offsets[row]))
        for row, rejection in zip(rows, decoded.rejections, strict=True)
    ]
    cuts = pairwise(np.searchsorted(decoded.columns.offset, ends).tolist())
    refused_cuts = pairwise(np.searchsorted(rows, ends).tolist())
    return [
        Decoded(columns.take(slice(begin, end)), rejections[first:last])
        for (begin, end), (first, last) in zip(cuts, refused_cuts, strict=True)
    ]
