"""What is remembered of each series: arrays with one entry a series, that grow as series appear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]
"""Places of series in the arrays of a state, none of them twice."""

Snapshot = dict[str, npt.NDArray[Any]]
"""A part of a state: an array of each name, with an entry for each series asked for."""


class Field(NamedTuple):
    """One array of a state: the shape of an entry, its type, and what it is before the first reading."""

    shape: tuple[int, ...]
    dtype: type[np.generic]
    initial: float = 0.0


class SeriesState:
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

    @property
    def bytes_per_series(self) -> int:
        """What a series costs in memory, and in a snapshot."""
        return sum(int(array.dtype.itemsize * np.prod(array.shape[1:])) for array in self._arrays.values())

    def grow(self, count: int) -> None:
        """Have room for ``count`` series at least; what is remembered stays."""
        if count <= self._count:
            return
        for name, field in self._fields.items():
            more = _initial(field, count - self._count)
            self._arrays[name] = np.concatenate([self._arrays[name], more])
        self._count = count

    def clear(self, rows: Rows) -> None:
        """Forget some series: their places are as new."""
        for name, field in self._fields.items():
            self._arrays[name][rows] = field.initial

    def snapshot(self, rows: Rows) -> Snapshot:
        """Return what is remembered of some series."""
        return {name: array[rows] for name, array in self._arrays.items()}

    def restore(self, rows: Rows, snapshot: Snapshot) -> None:
        """Take up what :meth:`snapshot` returned, at places that may be others."""
        for name, array in self._arrays.items():
            array[rows] = snapshot[name]


class Part(Protocol):
    """Something that remembers series."""

    @property
    def bytes_per_series(self) -> int: ...
    def grow(self, count: int) -> None: ...
    def clear(self, rows: Rows) -> None: ...
    def snapshot(self, rows: Rows) -> Snapshot: ...
    def restore(self, rows: Rows, snapshot: Snapshot) -> None: ...


class Parts:
    """Something that remembers series in several parts, each of which has a name.

    >>> parts = Parts({"a": SeriesState({"mean": Field((), np.float64)})})
    >>> parts.grow(1)
    >>> parts.snapshot(np.array([0]))
    {'a.mean': array([0.])}
    """

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self._parts = dict(parts)

    @property
    def bytes_per_series(self) -> int:
        """What a series costs in memory, and in a snapshot."""
        return sum(part.bytes_per_series for part in self._parts.values())

    def grow(self, count: int) -> None:
        """Have room for ``count`` series at least."""
        for part in self._parts.values():
            part.grow(count)

    def clear(self, rows: Rows) -> None:
        """Forget some series."""
        for part in self._parts.values():
            part.clear(rows)

    def snapshot(self, rows: Rows) -> Snapshot:
        """Return all that is remembered of some series."""
        return {
            f"{prefix}.{name}": array
            for prefix, part in self._parts.items()
            for name, array in part.snapshot(rows).items()
        }

    def restore(self, rows: Rows, snapshot: Snapshot) -> None:
        """Go on where a snapshot was taken."""
        for prefix, part in self._parts.items():
            part.restore(
                rows,
                {
                    name.removeprefix(f"{prefix}."): array
                    for name, array in snapshot.items()
                    if name.startswith(f"{prefix}.")
                },
            )


def _initial(field: Field, count: int) -> npt.NDArray[Any]:
    return np.full((count, *field.shape), field.initial, field.dtype)
