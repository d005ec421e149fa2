"""One fetched chunk of one partition: what travels through Faust as a single event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from faust.types import TP

from streams.core.batch import Messages


@dataclass(frozen=True, slots=True)
class Chunk:
    """Everything that partition ``tp`` holds at the offsets ``[base, next)``.

    ``messages`` may be fewer than ``next - base``, or none: compaction and transaction markers
    leave gaps. ``lost_before`` is set when the gap at the front is none of these but the log
    itself that begins later now: the offsets ``[base, lost_before)`` are gone. ``rewound``: there is
    nothing from ``base`` on because the log ended before it, so reading began anew elsewhere.
    """

    tp: TP
    base: int
    next: int
    messages: Messages
    lost_before: int | None = None
    rewound: bool = False

    @staticmethod
    def of(tp: TP, base: int, next_offset: int, records: Sequence[Any]) -> Chunk:
        """Make a chunk of aiokafka's records."""
        count = len(records)
        messages = Messages(
            values=list(map(attrgetter("value"), records)),
            keys=list(map(attrgetter("key"), records)),
            offsets=np.fromiter(map(attrgetter("offset"), records), np.int64, count),
            timestamps_ms=np.fromiter(map(attrgetter("timestamp"), records), np.int64, count),
        )
        return Chunk(tp, base, next_offset, messages)
