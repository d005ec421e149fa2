"""Hands chunks to Faust whole; every other topic's records go the ordinary way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from streams.transport.chunk import Chunk


class ChunkScheduler(DefaultSchedulingStrategy):
    """A consumer scheduler that yields one chunk per partition, then single records."""

    def iterate(self, records: Mapping[TP, Any]) -> Iterator[tuple[TP, Any]]:
        """Iterate over what one fetch brought."""
        singles = {}
        for tp, fetched in records.items():
            if isinstance(fetched, Chunk):
                yield tp, fetched
            else:
                singles[tp] = fetched
        yield from super().iterate(singles)
