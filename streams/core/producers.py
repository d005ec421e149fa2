"""The producers of one partition: small integers for their names, and what is stored of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streams.core.batch import Columns, Int32
from streams.core.sequences import Interval
from streams.core.series import SeriesTable
from streams.core.watermark import Heard

COMPUTES = "streamgauge/"
"""So begin the names of producers that compute what they send of what was released: nobody waits for them."""

_PRODUCER_BITS = 32


class Producer(NamedTuple):
    """A producer by its name, which tenants choose independently."""

    tenant: str
    name: str


class Span(NamedTuple):
    """Numbers ``[start, end)`` of a producer's epoch."""

    epoch: int
    start: int
    end: int


class Report(NamedTuple):
    """What one flush heard of one producer, and the numbers that it brought."""

    producer: Producer
    heard: Heard
    spans: Sequence[Span] = ()


class ProducerState(NamedTuple):
    """What is known of one producer, as it is stored. ``seen`` is empty of one without numbers."""

    producer: Producer
    heard: Heard
    epoch: int
    seen: list[Interval]


class Producers:
    """Gives the producers of one partition small integers, in the order in which they come."""

    def __init__(self) -> None:
        self.names: list[Producer] = []
        self.computing: list[int] = []
        """Those that compute what they send."""

        self._numbers: dict[Producer, int] = {}
        self._mapped = SeriesTable()
        self._tenants: dict[str, int] = {}
        self._tenant_of = np.empty(0, np.int64)
        self._number_of: dict[int, int] = {}

    def number(self, producer: Producer) -> int:
        """Return the integer of a producer, giving it the next one when it is new."""
        number = self._numbers.setdefault(producer, len(self.names))
        if number == len(self.names):
            self.names.append(producer)
            if producer.name.startswith(COMPUTES):
                self.computing.append(number)
        return number

    def numbers_of(self, columns: Columns, series: SeriesTable, producers: Sequence[str]) -> Int32:
        """Return the integer of each reading's producer."""
        if series is not self._mapped:
            self._mapped, self._tenants, self._number_of = series, {}, {}
            self._tenant_of = np.empty(0, np.int64)
        if len(series) > len(self._tenant_of):
            new = [
                self._tenants.setdefault(key.tenant, len(self._tenants))
                for key in series.keys[len(self._tenant_of) :]
            ]
            self._tenant_of = np.append(self._tenant_of, np.array(new, np.int64))
        pairs = (self._tenant_of[columns.series] << _PRODUCER_BITS) | columns.producer
        # A batch is a run of one producer: only the first of each run is looked up.
        first = np.flatnonzero(np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)])
        distinct, which = np.unique(pairs[first], return_inverse=True)
        for pair in distinct.tolist():
            if pair not in self._number_of:
                tenant = list(self._tenants)[pair >> _PRODUCER_BITS]
                name = producers[pair & ((1 << _PRODUCER_BITS) - 1)]
                self._number_of[pair] = self.number(Producer(tenant, name))
        numbers = np.array([self._number_of[pair] for pair in distinct.tolist()], np.int32)
        return np.repeat(numbers[which], np.diff(np.append(first, len(pairs))))
