"""Series names and the small integers that stand for them on the hot path."""

from __future__ import annotations

from typing import NamedTuple


class SeriesKey(NamedTuple):
    """What a producer calls one series, and what it says about it.

    ``attributes`` describe the series, not a reading: sorted ``(name, value)`` pairs. The names
    ``unit``, ``site`` and ``system`` have a column of their own in table ``series``.
    """

    tenant: str
    source: str
    metric: str
    attributes: tuple[tuple[str, str], ...] = ()


class SeriesTable:
    """Interns series keys: the same key always gets the same small integer.

    The integer is local to this table and is not the ``series_id`` of the database: two keys that
    differ in their attributes alone have two integers and one ``series_id``.

    >>> table = SeriesTable()
    >>> table.intern(SeriesKey("default", "pump-1", "rpm"))
    0
    >>> table.intern(SeriesKey("default", "pump-1", "rpm"))
    0
    >>> table.keys[0].metric
    'rpm'
    """

    def __init__(self) -> None:
        self.keys: list[SeriesKey] = []
        self._index: dict[SeriesKey, int] = {}

    def intern(self, key: SeriesKey) -> int:
        """Return the integer of ``key``, giving it the next one when it is new."""
        index = self._index.get(key)
        if index is None:
            index = self._index[key] = len(self.keys)
            self.keys.append(key)
        return index

    def __len__(self) -> int:
        return len(self.keys)
