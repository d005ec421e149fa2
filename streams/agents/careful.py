"""Works on one chunk or one record at a time, and tells the record that kills workers from its neighbours.

Nothing else of this worker is in work meanwhile, so a death is the record's: each attempt is noted
before it is made. What a worker survives is stored, and so no longer suspected.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence

from faust.types import TP

from sinks.protocols import Fenced, SinkUnavailable
from streams.agents.flush import Flusher
from streams.agents.ownership import Held, Ownership, partition_of
from streams.agents.patience import Patience
from streams.agents.sink_thread import SinkThread
from streams.core.batch import Columns, Decoded, Messages
from streams.core.pipeline import Staged
from streams.core.rejection import MAX_QUARANTINED_BYTES, WHOLE_RECORD, Reason, Rejection
from streams.core.series import SeriesTable
from streams.transport.chunk import Chunk

log = logging.getLogger(__name__)

ThroughStages = Callable[[Sequence[Chunk]], Awaitable[list[Staged]]]


class Careful:
    """Handles the chunks of partitions that are held with caution."""

    def __init__(
        self, through_stages: ThroughStages, flusher: Flusher, ownership: Ownership, sink: SinkThread
    ) -> None:
        self._through_stages = through_stages
        self._flusher = flusher
        self._ownership = ownership
        self._sink = sink
        self._stopping = False

    def stop(self) -> None:
        """Begin with no more records."""
        self._stopping = True

    async def handle(self, chunk: Chunk, held: Held) -> None:
        """Store ``chunk`` before anything else is begun."""
        caution = held.caution
        assert caution is not None
        await self._flusher.drain()
        before = self._flusher.rows_stored
        if caution.alone and len(chunk.messages):
            for record in records_of(chunk):
                if self._stopping or self._ownership.held.get(chunk.tp) is not held:
                    return
                await self._alone(record, held, caution.poison)
            caution.alone = False
        else:
            await self._store(chunk, held, *await self._through_stages([chunk]))
        caution.rows -= self._flusher.rows_stored - before
        if chunk.next >= caution.until or caution.rows <= 0:
            await self._absolve(chunk.tp, held)
            held.caution = None

    async def inconclusive(self, tp: TP) -> None:
        """Forget an attempt that has to wait for a service: should it end now, that tells nothing."""
        held = self._ownership.held.get(tp)
        if held is not None and held.attempting:
            await self._absolve(tp, held)

    async def _alone(self, record: Chunk, held: Held, poison: int | None) -> None:
        offset = int(record.messages.offsets[0])
        if offset == poison:
            log.error("The record %s/%d@%d killed its workers: it becomes a dead letter", *record.tp, offset)
            await self._store(record, held, quarantined(record.messages))
            return
        await self._note_attempt(record.tp, held, offset)
        await self._store(record, held, *await self._through_stages([record]))
        held.attempting = False

    async def _store(self, chunk: Chunk, held: Held, staged: Staged) -> None:
        await self._flusher.add(chunk, held, staged)
        await self._flusher.drain()

    async def _note_attempt(self, tp: TP, held: Held, offset: int) -> None:
        patience = Patience()
        while self._ownership.held.get(tp) is held:
            try:
                await self._sink.attempt(partition_of(tp), held.epoch, offset)
            except SinkUnavailable as problem:
                log.warning("Cannot note an attempt yet: %s", problem)
                await patience.wait()
            except Fenced:
                return  # the flush that follows finds that out, too, and what to do about it
            else:
                held.attempting = True
                return

    async def _absolve(self, tp: TP, held: Held) -> None:
        with contextlib.suppress(SinkUnavailable):
            await self._sink.absolve(partition_of(tp), held.epoch)
            held.attempting = False


def records_of(chunk: Chunk) -> Iterator[Chunk]:
    """Cut a chunk into chunks of one record each, which cover the same offsets."""
    ends = [*(chunk.messages.offsets[1:]).tolist(), chunk.next]
    base = chunk.base
    for row, end in enumerate(ends):
        one = slice(row, row + 1)
        messages = chunk.messages
        yield Chunk(
            chunk.tp,
            base,
            end,
            Messages(
                messages.values[one], messages.keys[one], messages.offsets[one], messages.timestamps_ms[one]
            ),
        )
        base = end


def quarantined(messages: Messages) -> Staged:
    """Refuse records without looking into them."""
    rejections = [
        Rejection.of(
            offset,
            WHOLE_RECORD,
            Reason.POISON,
            "workers that worked on this record alone ended without a word",
            value or b"",
            MAX_QUARANTINED_BYTES,
        )
        for offset, value in zip(messages.offsets.tolist(), messages.values, strict=True)
    ]
    return Staged(Decoded(Columns.empty(), rejections), SeriesTable(), ("",))
