"""Hands the chunks of a fetch to Faust whole; every other topic's records go the ordinary way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from streams.transport.chunk import Chunk


class ChunkScheduler(DefaultSchedulingStrategy):
    """A consumer scheduler that yields all chunks of one fetch together, then single records."""

    def iterate(self, records: Mapping[TP, Any]) -> Iterator[tuple[TP, Any]]:
        """Iterate over what one fetch brought; the chunks come under the partition of the first."""
        chunks = [fetched for fetched in records.values() if isinstance(fetched, Chunk)]
        if chunks:
            yield chunks[0].tp, chunks
        yield from super().iterate(
            {tp: fetched for tp, fetched in records.items() if not isinstance(fetched, Chunk)}
        )
