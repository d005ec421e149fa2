"""Mutants of the product: each breaks one of its promises on purpose, and the checker must notice."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from faust.types import TP
from psycopg import Error

import sinks.outbox
import sinks.refresher
from sinks.judging import ResolvedPart
from sinks.protocols import Flush, Part, Partition, Progress, SinkUnavailable, Written
from sinks.timescale import detectors, history, sink, transaction
from sinks.timescale.anomalies import load_open
from sinks.timescale.outbox import Message, mark_sent, next_messages
from sinks.timescale.rollups import read_levels
from sinks.timescale.session import connect
from streams.agents.flush import Flusher
from streams.agents.ownership import Held, partition_of
from streams.core.batch import NEVER_US
from streams.core.deduplicate import KEPT_FOREVER_US, Deduplicator, Disposition, Judgement
from streams.core.identities import Stored
from streams.core.partition import PartitionMemory
from streams.core.rollup import Rollups
from streams.core.watch import Saved, Watch
from streams.core.watermark import Watermark
from streams.failpoints import Point, reach
from streams.transport.chunk import Chunk

_SKIP = "UPDATE progress SET next_offset = %s WHERE topic = %s AND partition = %s AND epoch = %s"
_FORGET_MARKS = """
    DELETE FROM dirty_buckets AS d USING rollup_marks AS m
    WHERE m.series_id = d.series_id AND d.bucket + INTERVAL '1 minute' <= m.released_to
"""
_IS_WATCHED = "SELECT FROM detection WHERE topic = %s AND partition = %s"
HOUR_US = 3_600_000_000
_FORCE = "UPDATE progress SET epoch = %s, next_offset = %s WHERE topic = %s AND partition = %s"


@dataclass(frozen=True, slots=True)
class Mutant:
    """What is broken, the faults under which it shows, and the check that must catch it."""

    meaning: str
    faults: tuple[str, ...]
    caught_by: str
    patch: Callable[[], None]


def offset_before_copy() -> None:
    """Commit the offset first, and the readings after it."""
    advance, copying = transaction.advance_and_commit, transaction.ReadingsCopy
    send, land, judged = copying.send, copying.land, ResolvedPart.judged
    outcomes: list[Any] = []
    parts: list[Any] = []

    def hold(self: Any, outcome: Any) -> None:
        outcomes.append(outcome)

    def note(self: Any, flush: Any, found: Any) -> Any:
        parts.append(judged(self, flush, found))
        return parts[-1]

    def land_late(self: Any) -> None:
        if parts:
            advance(self._session, parts, KEPT_FOREVER_US)
            self._session.execute("BEGIN")
            for outcome in outcomes:
                send(self, outcome)
            parts.clear()
            outcomes.clear()
        land(self)

    def commit(session: Any, parts: Any, kept_from_us: int) -> None:
        session.execute("COMMIT")

    _set(copying, "send", hold)
    _set(ResolvedPart, "judged", note)
    _set(copying, "land", land_late)
    _set(transaction, "advance_and_commit", commit)


def no_compare_and_swap() -> None:
    """Make the comparison true before it is made."""
    advance = transaction.advance_and_commit

    def force(session: Any, parts: Any, kept_from_us: int) -> None:
        for part in (judged.part for judged in parts):
            session.execute(_FORCE, (part.epoch, part.base, part.partition.topic, part.partition.number))
        advance(session, parts, kept_from_us)

    _set(transaction, "advance_and_commit", force)
    # The index of closed buckets would stop most of those who come too late, too.
    _set(sink, "copy_closed", lambda session, closings: None)


def no_look_up() -> None:
    """Find nothing in the database: what memory does not know is new."""
    _set(
        history.DatabaseHistory,
        "stored",
        lambda self, series_id, time_us: Stored.nothing(len(series_id)),
    )


def memory_only() -> None:
    """Begin every claim with nothing known."""

    load = sink.__dict__["load_memory"]

    def nothing(session: Any, partition: Partition, floor_us: int, *others: Any) -> PartitionMemory:
        memory: PartitionMemory = load(session, partition, floor_us, *others)
        none = np.empty(0, np.int64)
        memory._deduplicator = Deduplicator(0, none, none, floor_us)
        return memory

    _set(sink, "load_memory", nothing)


def open_buckets_forgotten() -> None:
    """Begin every claim with open buckets that nothing has fallen into."""

    def nothing(session: Any, partition: Partition, released_us: int) -> Rollups:
        return Rollups([level.width_us for level in read_levels(session)])

    _set(history, "load_rollups", nothing)


def detectors_forgotten() -> None:
    """Begin every claim with detectors that remember nothing, though others did."""

    def nothing(session: Any, partition: Partition, detecting: Any, released_us: int, kept_us: int) -> Watch:
        stored = session.execute(_IS_WATCHED, (partition.topic, partition.number)).fetchone()
        if stored is None:
            return Watch(detecting.choice, released_us)
        return Watch(detecting.choice, NEVER_US, saved_us=released_us)

    _set(history, "load_watch", nothing)


def detectors_anew() -> None:
    """Begin every claim with new detectors, and say so."""

    def anew(session: Any, partition: Partition, detecting: Any, released_us: int, kept_us: int) -> Watch:
        watch = Watch(detecting.choice, released_us, detecting.most_series)
        watch.resume(load_open(session, partition), released_us)
        return watch

    _set(history, "load_watch", anew)


def detectors_saved_too_far() -> None:
    """Say that all are saved for an hour more, whatever is not saved."""
    save = detectors.save

    def save_all(session: Any, partition: Partition, watch: Watch, saved: Saved) -> None:
        save(session, partition, watch, saved._replace(all_to_us=saved.all_to_us + HOUR_US))

    _set(detectors, "save", save_all)


def late_not_rolled_up() -> None:
    """Take the marks of late readings away, and compute nothing again."""

    def forget(session: Any, *_: Any, **__: Any) -> list[Any]:
        session.execute(_FORGET_MARKS)
        return []

    _set(sinks.refresher, "refresh_some", forget)


def ack_on_exception() -> None:
    """Take a flush that failed for stored."""
    write = sink.TimescaleSink.write

    def swallow(self: Any, flush: Flush) -> Written:
        try:
            return write(self, flush)
        except SinkUnavailable:
            try:
                with connect(self._dsn, self._owner) as session:
                    for part in flush.parts:
                        place = part.partition.topic, part.partition.number
                        session.execute(_SKIP, (part.next, *place, part.epoch))
            except Error as error:
                raise SinkUnavailable(str(error)) from error
            return Written()

    _set(sink.TimescaleSink, "write", swallow)


def late_dropped() -> None:
    """Drop what is earlier than the latest reading of its series, as if it were a repeat."""
    judge = Deduplicator.judge

    def drop(self: Any, rows: Any, history: Any) -> Judgement:
        judgement = judge(self, rows, history)
        if len(rows):
            self._grow(int(rows.series_id.max()))
        late = rows.time_us < self._latest_us[rows.series_id]
        judgement.disposition[late & (judgement.disposition == Disposition.WRITTEN)] = Disposition.DUPLICATE
        judgement.written = judgement.written[~late[judgement.written]]
        return judgement

    _set(Deduplicator, "judge", drop)


def ambiguous_commit_retried() -> None:
    """Write a flush again whose outcome is not known, wherever progress is by now."""

    def again(self: Any, parts: list[Part], stored: dict[Partition, Progress], sent: Any) -> list[Part]:
        ours = [part for part in parts if stored[part.partition].epoch == part.epoch]
        for part in ours:
            part.base = stored[part.partition].next_offset
        return ours

    _set(Flusher, "_unsettled", again)


def wall_clock_watermark() -> None:
    """Let the watermark move by the clock of the machine."""
    after = Watermark.after

    def now(self: Any, producer: Any, time_us: Any, stamp_ms: Any) -> Any:
        return after(self, producer, time_us, np.full(len(stamp_ms), int(time.time() * 1000)))

    _set(Watermark, "after", now)


def buffer_kept() -> None:
    """Keep what is collected of a partition that was given up, for when it comes back."""
    add, forget = Flusher.add, Flusher.forget
    kept: dict[Partition, Part] = {}

    def keep(self: Any, tp: TP) -> None:
        part = self._parts.get(partition_of(tp))
        if part is not None:
            kept[part.partition] = part
        forget(self, tp)

    async def add_to_kept(self: Any, chunk: Chunk, held: Held, staged: Any, **how: Any) -> None:
        await add(self, chunk, held, staged, **how)
        part = self._parts.get(partition_of(chunk.tp))
        if part is not None and part.partition in kept:
            part.columns[:0] = kept.pop(part.partition).columns

    _set(Flusher, "forget", keep)
    _set(Flusher, "add", add_to_kept)


def mark_before_send() -> None:
    """Delete messages from the outbox as they are read, before Kafka has them."""
    send, read = sinks.outbox.send, next_messages

    def take(session: Any, topic: str, after: int, limit: int) -> list[Message]:
        messages = read(session, topic, after, limit)
        mark_sent(session, [message.id for message in messages])
        return messages

    def send_late(producer: Any, messages: Any, stop: Any) -> dict[int, Any]:
        reach(Point.BEFORE_MARK)
        return send(producer, messages, stop)

    _set(sinks.outbox, "next_messages", take)
    _set(sinks.outbox, "send", send_late)
    _set(sinks.outbox, "reach", lambda point: None)


def _set(owner: Any, name: str, value: Any) -> None:
    assert hasattr(owner, name), f"{owner} has no {name} any more: mend the mutant"
    setattr(owner, name, value)


MUTANTS: dict[str, Mutant] = {
    "offset-before-copy": Mutant(
        "the offset is committed before COPY", ("kill-after-copy",), "missing", offset_before_copy
    ),
    "no-compare-and-swap": Mutant(
        "progress is moved without comparing", ("zombie-flush",), "doubled", no_compare_and_swap
    ),
    "no-look-up": Mutant(
        "beyond the horizon of memory the database is not asked", ("repeats",), "doubled", no_look_up
    ),
    "memory-only": Mutant("deduplication knows its memory alone", ("repeats",), "doubled", memory_only),
    "open-buckets-forgotten": Mutant(
        "a claim does not read back what is in open buckets",
        ("rolling-restart",),
        "misrolled",
        open_buckets_forgotten,
    ),
    "detectors-forgotten": Mutant(
        "a claim does not restore what detectors remember",
        ("rolling-restart",),
        "misdetected",
        detectors_forgotten,
    ),
    "detectors-anew": Mutant(
        "a claim has detectors begin anew", ("rolling-restart",), "anew", detectors_anew
    ),
    "detectors-saved-too-far": Mutant(
        "what is not saved of detectors counts as saved",
        ("rolling-restart",),
        "misdetected",
        detectors_saved_too_far,
    ),
    "late-not-rolled-up": Mutant(
        "marks of late readings are removed, and nothing is computed again",
        ("disorder",),
        "misrolled",
        late_not_rolled_up,
    ),
    "ack-on-exception": Mutant(
        "a flush that failed counts as stored", ("sessions-ended",), "missing", ack_on_exception
    ),
    "late-dropped": Mutant("late readings are dropped", ("disorder",), "missing", late_dropped),
    "wall-clock-watermark": Mutant(
        "the watermark moves by the machine's clock", ("clock-jumps",), "misordered", wall_clock_watermark
    ),
    "ambiguous-commit-retried": Mutant(
        "a commit of unknown outcome is made again", ("commit-cut",), "miscounted", ambiguous_commit_retried
    ),
    "buffer-kept": Mutant(
        "what is collected of a partition is kept after it was revoked",
        ("join-while-slow",),
        "miscounted",
        buffer_kept,
    ),
    "mark-before-send": Mutant(
        "the relay marks messages before it sends them", ("relay-killed",), "missing", mark_before_send
    ),
}


def apply(name: str) -> None:
    """Change this process into the mutant ``name``."""
    MUTANTS[name].patch()
