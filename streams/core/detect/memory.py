"""What is remembered of each series: arrays with one entry a series, that grow as series appear."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]
"""Places of series in the arrays of a state, none of them twice."""

Arrays = dict[str, npt.NDArray[Any]]
"""Arrays with an entry a series, by name."""

Snapshot = Arrays
"""A part of a state: entries for the series asked for."""


class Field(NamedTuple):
    """One array of a state: the shape of an entry, its type, and what it is before the first reading."""

    shape: tuple[int, ...]
    dtype: type[np.generic]
    initial: float = 0.0


class Memory(ABC):
    """Something that remembers series."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """Return all that is remembered: the arrays themselves, until there is need to grow."""

    @abstractmethod
    def grow(self, count: int) -> None:
        """Have room for ``count`` series at least; what is remembered stays."""

    @abstractmethod
    def clear(self, rows: Rows) -> None:
        """Forget some series: their places are as new."""

    @property
    def bytes_per_series(self) -> int:
        """What a series costs in memory, and in a snapshot."""
        return sum(int(array.dtype.itemsize * np.prod(array.shape[1:])) for array in self.arrays().values())

    def snapshot(self, rows: Rows) -> Snapshot:
        """Return all that is remembered of some series."""
        return {name: array[rows] for name, array in self.arrays().items()}

    def restore(self, rows: Rows, snapshot: Snapshot) -> None:
        """Go on where a snapshot was taken, at places that may be others."""
        for name, array in self.arrays().items():
            array[rows] = snapshot[name]


class SeriesState(Memory):
    """Arrays over series, by name.

    >>> state = SeriesState({"mean": Field((2,), np.float64)})
    >>> state.grow(3)
    >>> state["mean"].shape, state.bytes_per_series
    ((3, 2), 16)
    """

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self._fields = dict(fields)
        self._arrays = {name: _initial(field, 0) for name, field in fields.items()}
        self._count = 0

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._arrays[name]

    def __len__(self) -> int:
        return self._count

    def arrays(self) -> Arrays:
        return dict(self._arrays)

    def grow(self, count: int) -> None:
        if count <= self._count:
            return
        for name, field in self._fields.items():
            more = _initial(field, count - self._count)
            self._arrays[name] = np.concatenate([self._arrays[name], more])
        self._count = count

    def clear(self, rows: Rows) -> None:
        for name, field in self._fields.items():
            self._arrays[name][rows] = field.initial


class Parts(Memory):
    """Something that remembers series in several parts, each of which has a name.

    >>> parts = Parts({"a": SeriesState({"mean": Field((), np.float64)})})
    >>> parts.grow(1)
    >>> parts.snapshot(np.array([0]))
    {'a.mean': array([0.])}
    """

    def __init__(self, parts: Mapping[str, Memory]) -> None:
        self._parts = dict(parts)

    def arrays(self) -> Arrays:
        return {
            f"{prefix}.{name}": array
            for prefix, part in self._parts.items()
            for name, array in part.arrays().items()
        }

    def grow(self, count: int) -> None:
        for part in self._parts.values():
            part.grow(count)

    def clear(self, rows: Rows) -> None:
        for part in self._parts.values():
            part.clear(rows)


def _initial(field: Field, count: int) -> npt.NDArray[Any]:
    return np.full((count, *field.shape), field.initial, field.dtype)
