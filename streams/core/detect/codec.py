"""What detectors remember, as bytes that are stored: as many of each series."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from streams.core.batch import Int64
from streams.core.detect.lookout import Lookout

States = npt.NDArray[np.uint8]
"""What is remembered of some series: a row of bytes each."""


class Codec:
    """Turns what a lookout remembers of series into bytes and back; ``layout`` says which are what.

    >>> codec = Codec()
    >>> codec.encode(Lookout(1), np.array([7])).shape == (1, codec.bytes_per_series)
    True
    """

    def __init__(self) -> None:
        snapshot = Lookout(1).snapshot(np.array([0]))
        self._columns = [
            (name, (snapshot[name].dtype, snapshot[name].shape[1:])) for name in sorted(snapshot)
        ]
        sizes = [int(kind.itemsize * np.prod(shape)) for _, (kind, shape) in self._columns]
        self._ends = list(accumulate(sizes, initial=0))
        self.layout = repr([(name, kind.str, shape) for name, (kind, shape) in self._columns])

    @property
    def bytes_per_series(self) -> int:
        """How long a row is."""
        return self._ends[-1]

    def encode(self, lookout: Lookout, series: Int64) -> States:
        """Return what is remembered of some series."""
        states = np.empty((len(series), self.bytes_per_series), np.uint8)
        if len(series):
            snapshot = lookout.snapshot(series)
            for (name, _), (begin, end) in zip(self._columns, pairwise(self._ends), strict=True):
                column = np.ascontiguousarray(snapshot[name]).reshape(len(series), -1)
                states[:, begin:end] = column.view(np.uint8)
        return states

    def decode(self, lookout: Lookout, series: Int64, states: States) -> None:
        """Have a lookout go on with what :meth:`encode` returned of these series."""
        if len(series):
            columns = [np.ascontiguousarray(states[:, begin:end]) for begin, end in pairwise(self._ends)]
            lookout.restore(
                series,
                {
                    name: column.view(kind).reshape(len(series), *shape)
                    for (name, (kind, shape)), column in zip(self._columns, columns, strict=True)
                },
            )
