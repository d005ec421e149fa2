"""From the series indices of a decoder to the series numbers of the database."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import orjson

from sinks.timescale.session import Connection
from streams.core.batch import Int32
from streams.core.series import SeriesTable

REFUSED = -1
"""Stands for a series that the database does not take: its tenant has as many as it may have."""

_UNKNOWN = -2
_NAMES_PER_CALL = 5_000

_REGISTER = """
    SELECT tenant, source, metric, series_id
    FROM register_series(%s::text[], %s::text[], %s::text[], %s::text[]::jsonb[], %s)
"""

_Name = tuple[str, str, str]


class SeriesRegistry:
    """Remembers the ``series_id`` of each index of one :class:`~streams.core.series.SeriesTable`.

    It holds four bytes for each series of that table. What it knows is true for as long as its
    database connection lives: call :meth:`forget` after a loss, because the server may have lost
    its last commits, and numbers with them. A refused series stays refused until then.
    """

    def __init__(self, max_per_tenant: int) -> None:
        self._max_per_tenant = max_per_tenant
        self._table = SeriesTable()
        self._ids: Int32 = np.empty(0, np.int32)

    def forget(self) -> None:
        """Ask the database again for every series."""
        self._ids = np.empty(0, np.int32)

    def resolve(self, connection: Connection, table: SeriesTable, series: Int32) -> Int32:
        """Return the ``series_id`` of each index, or ``REFUSED``.

        Unknown series are registered first, in short transactions of their own: ``connection`` is
        in autocommit mode and outside of a transaction. Raises ``psycopg.Error``.
        """
        if table is not self._table:
            self._table = table
            self.forget()
        if len(table) > len(self._ids):
            grown = np.full(max(len(table), 2 * len(self._ids)), _UNKNOWN, np.int32)
            grown[: len(self._ids)] = self._ids
            self._ids = grown
        ids = self._ids.take(series)
        if len(ids) and ids.min() == _UNKNOWN:
            self._register(connection, np.unique(series[ids == _UNKNOWN]).tolist())
            ids = self._ids.take(series)
        return ids

    def _register(self, connection: Connection, indices: list[int]) -> None:
        for start in range(0, len(indices), _NAMES_PER_CALL):
            some = indices[start : start + _NAMES_PER_CALL]
            said: dict[_Name, dict[str, str]] = {}
            for key in (self._table.keys[index] for index in some):
                said.setdefault((key.tenant, key.source, key.metric), {}).update(key.attributes)
            found = dict(self._ask(connection, said))
            for index in some:
                self._ids[index] = found[self._table.keys[index][:3]]

    def _ask(self, connection: Connection, said: dict[_Name, dict[str, str]]) -> Iterator[tuple[_Name, int]]:
        tenants, sources, metrics = (list(names) for names in zip(*said, strict=True))
        attributes = [orjson.dumps(pairs).decode() for pairs in said.values()]
        rows = connection.execute(_REGISTER, (tenants, sources, metrics, attributes, self._max_per_tenant))
        for tenant, source, metric, series_id in rows:
            yield (tenant, source, metric), REFUSED if series_id is None else series_id
