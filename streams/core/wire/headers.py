"""What a header says: whose reading it is of which series, both in one number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streams.core.batch import Int64
from streams.core.names import Names
from streams.core.rejection import Refused
from streams.core.wire.memo import Memo

UNKNOWN = -1
"""Stands for bytes that cannot be taken as what they should be: they are read exactly."""

_BY_KEY = -1
_PRODUCER_BITS = 32
_PRODUCER_MASK = (1 << _PRODUCER_BITS) - 1


def pack(series: int, producer: int | None) -> int:
    """Return series and producer in one number; no producer is named where the message key stands for it.

    >>> series, producer = unpack(np.array([pack(7, 3), pack(7, None)]))
    >>> series.tolist(), producer.tolist()
    ([7, 7], [3, -1])
    """
    return series << _PRODUCER_BITS | (0 if producer is None else producer + 1)


def unpack(packed: Int64) -> tuple[Int64, Int64]:
    """Return the series and the producers of packed numbers, as :meth:`KeyProducers.complete` takes them."""
    return packed >> _PRODUCER_BITS, (packed & _PRODUCER_MASK) - 1


class KeyProducers(Memo[bytes | None, int]):
    """Maps a message key to the producer it stands for; ``UNKNOWN`` where it cannot be a name."""

    def __init__(self, names: Names) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, key: bytes | None) -> int:
        try:
            producer = self._names.producer_of_key(key)
        except Refused:
            return UNKNOWN
        return self.remember(key, producer, len(key or b""))

    def complete(self, named: Int64, rows: Int64, keys: Sequence[bytes | None]) -> Int64:
        """Fill in the producers that message keys stand for, where none is named.

        ``rows`` says in which of the messages that have ``keys`` each reading is.
        """
        by_key = named == _BY_KEY
        found = map(self.__getitem__, [keys[row] for row in rows[by_key].tolist()])
        named[by_key] = np.fromiter(found, np.int64, int(by_key.sum()))
        return named
