"""From the series indices of a decoder to the series numbers of the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import orjson

from sinks.judging import REFUSED
from sinks.protocols import Partition
from sinks.timescale.session import Connection
from streams.core.batch import Int32
from streams.core.series import SeriesTable

_UNKNOWN = -2
_NAMES_PER_CALL = 5_000

NO_HOME = -1
"""Home of a series that is refused."""

_REGISTER = """
    SELECT tenant, source, metric, series_id, home_topic, home_partition, adopted
    FROM register_series(%s::text[], %s::text[], %s::text[], %s::text[]::jsonb[], %s::text[], %s::int[], %s)
"""

_Name = tuple[str, str, str]


class Resolved(NamedTuple):
    """The ``series_id`` of each reading, or ``REFUSED``, and the number of its series' home.

    ``adopted``: some series with readings had no home until now, and are at home here from now on.
    """

    series_id: Int32
    home: Int32
    adopted: bool


class SeriesRegistry:
    """Remembers ``series_id`` and home of each index of one :class:`~streams.core.series.SeriesTable`.

    It holds eight bytes for each series of that table. What it knows is true for as long as its
    database connection lives: call :meth:`forget` after a loss, because the server may have lost
    its last commits, and numbers with them. A refused series stays refused until then.

    The home of a series is the partition that wrote it first, and alone stores its readings.
    """

    def __init__(self, max_per_tenant: int) -> None:
        self._max_per_tenant = max_per_tenant
        self._table = SeriesTable()
        self._ids: Int32 = np.empty(0, np.int32)
        self._home: Int32 = np.empty(0, np.int32)
        self._homes: dict[Partition, int] = {}

    def forget(self) -> None:
        """Ask the database again for every series."""
        self._ids = np.empty(0, np.int32)

    def home(self, partition: Partition) -> int:
        """Return the number that stands for ``partition`` as a home."""
        return self._homes.setdefault(partition, len(self._homes))

    @property
    def homes(self) -> list[Partition]:
        """The partitions that the numbers of homes stand for."""
        return list(self._homes)

    def resolve(
        self, connection: Connection, table: SeriesTable, series: Int32, partition: Partition
    ) -> Resolved:
        """Return number and home of each series index of readings that arrived on ``partition``.

        Unknown series are registered first, with ``partition`` as their home, in short transactions
        of their own: ``connection`` is in autocommit mode and outside of a transaction. Raises
        ``psycopg.Error``.
        """
        if table is not self._table:
            self._table = table
            self.forget()
        if len(table) > len(self._ids):
            grown = np.full(max(len(table), 2 * len(self._ids)), _UNKNOWN, np.int32)
            grown[: len(self._ids)] = self._ids
            self._home = np.append(
                self._home[: len(self._ids)], np.zeros(len(grown) - len(self._ids), np.int32)
            )
            self._ids = grown
        ids, adopted = self._ids.take(series), False
        if len(ids) and ids.min() == _UNKNOWN:
            adopted = self._register(connection, np.unique(series[ids == _UNKNOWN]).tolist(), partition)
            ids = self._ids.take(series)
        return Resolved(ids, self._home.take(series), adopted)

    def _register(self, connection: Connection, indices: list[int], partition: Partition) -> bool:
        """Learn, and store where needed, number and home of these series; tell whether any was adopted."""
        adopted = False
        for start in range(0, len(indices), _NAMES_PER_CALL):
            some = indices[start : start + _NAMES_PER_CALL]
            said: dict[_Name, dict[str, str]] = {}
            for key in (self._table.keys[index] for index in some):
                said.setdefault((key.tenant, key.source, key.metric), {}).update(key.attributes)
            found = dict(self._ask(connection, said, partition))
            adopted |= any(was_homeless for _, _, was_homeless in found.values())
            for index in some:
                self._ids[index], self._home[index], _ = found[self._table.keys[index][:3]]
        return adopted

    def _ask(
        self, connection: Connection, said: dict[_Name, dict[str, str]], partition: Partition
    ) -> Iterator[tuple[_Name, tuple[int, int, bool]]]:
        tenants, sources, metrics = (list(names) for names in zip(*said, strict=True))
        attributes = [orjson.dumps(pairs).decode() for pairs in said.values()]
        homes = [partition.topic] * len(said), [partition.number] * len(said)
        rows = connection.execute(
            _REGISTER, (tenants, sources, metrics, attributes, *homes, self._max_per_tenant)
        )
        for tenant, source, metric, series_id, topic, number, adopted in rows:
            name = (tenant, source, metric)
            if series_id is None:
                yield name, (REFUSED, NO_HOME, False)
            else:
                yield name, (series_id, self.home(Partition(topic, number)), adopted)
