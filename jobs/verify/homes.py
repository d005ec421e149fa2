"""From the names of series in the log to their numbers and homes in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobs.verify.snapshot import Home, Name
from streams.core.series import SeriesTable


class Homes:
    """Looks series up for :class:`~streams.core.series.SeriesTable`, which grows, or is replaced by another.

    A series that the database does not know gets a number below zero, under which nothing is stored.
    """

    def __init__(self, known: Mapping[Name, Home]) -> None:
        self.unknown: dict[int, Name] = {}
        self._homes = dict(known)
        self._table = SeriesTable()
        self._of_table: list[Home] = []

    def of(self, table: SeriesTable) -> Sequence[Home]:
        """Return the home of each index of ``table``.

        >>> from streams.core.series import SeriesKey
        >>> table = SeriesTable()
        >>> table.intern(SeriesKey("default", "pump-1", "rpm"))
        0
        >>> Homes({}).of(table)[0].series_id
        -1
        """
        if table is not self._table:
            self._table, self._of_table = table, []
        self._of_table += [self._home(key[:3]) for key in table.keys[len(self._of_table) :]]
        return self._of_table

    def _home(self, name: Name) -> Home:
        home = self._homes.get(name)
        if home is None:
            home = self._homes[name] = Home(-1 - len(self.unknown), None)
            self.unknown[home.series_id] = name
        return home
