"""The place that readings go to: one TimescaleDB transaction for each flush, two for a large one."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import errors

from schemas.topics import DEAD_LETTERS
from sinks.judging import SLICE_ROWS, JudgedPart, ResolvedPart, halves, slices, total
from sinks.protocols import (
    Flush,
    HaltKind,
    Part,
    Partition,
    Progress,
    SinkError,
    SinkUnavailable,
    Written,
)
from sinks.timescale import anomalies, claims, detectors, transaction
from sinks.timescale.dead_letters import copy_dead_letters
from sinks.timescale.detectors import Detecting
from sinks.timescale.history import DatabaseHistory, kept_from_us, load_memory
from sinks.timescale.journal import Journal, load_journal
from sinks.timescale.migrate import lacking
from sinks.timescale.registry import SeriesRegistry
from sinks.timescale.rollup_messages import NOTHING_TOLD, Told, tell_closed
from sinks.timescale.rollups import copy_closed
from sinks.timescale.session import Connection, connect, translated
from streams.core.batch import Columns
from streams.core.deduplicate import KEPT_FOREVER_US
from streams.core.partition import REORDER_BYTES, PartitionMemory
from streams.core.pipeline import Timed, untimed
from streams.core.watch import Sightings
from streams.core.watermark import Patience
from streams.failpoints import Point, reach

log = logging.getLogger(__name__)

CLAIM_ATTEMPTS = 3
MEMORY_BYTES = 256 * 1024 * 1024
PARALLEL_ROWS = 32_768


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a sink may hold: series of one tenant, bytes to remember identities in, and to order in.

    ``slice_rows``: so many readings of a part are judged first, see :func:`~sinks.judging.slices`.
    ``parallel_rows``: a flush of so many readings is stored over two connections.
    """

    max_series_per_tenant: int = 1_000_000
    memory_bytes: int = MEMORY_BYTES
    reorder_bytes: int = REORDER_BYTES
    slice_rows: int = SLICE_ROWS
    parallel_rows: int = PARALLEL_ROWS


class TimescaleSink:
    """Stores flushes in TimescaleDB, exactly once (:class:`~sinks.protocols.ReadingsSink`).

    It holds one connection, opened when it is first needed and again after each failure, and a second
    one from the first large flush on: one backend of the database takes most of a core to store what
    a worker needs a quarter of a core for. ``owner`` is unique for each live worker: its sessions
    carry it as ``application_name``, by which the next owner of a partition ends what this one left open.

    What it remembers of a partition is a cache of the database: a failure of any kind forgets it.
    """

    def __init__(
        self,
        dsn: str,
        owner: str,
        bounds: Bounds | None = None,
        timed: Timed = untimed,
        dead_letters_topic: str = DEAD_LETTERS,
        patience: Patience | None = None,
        told: Told = NOTHING_TOLD,
        detecting: Detecting | None = None,
    ) -> None:
        self._timed = timed
        self._dsn = dsn
        self._owner = owner
        self._bounds = bounds or Bounds()
        self._dead_letters_topic = dead_letters_topic
        self._patience = patience or Patience()
        self._told = told
        self._detecting = detecting
        self._connection: Connection | None = None
        self._second: Connection | None = None
        self._is_refused = False
        self._beside = ThreadPoolExecutor(max_workers=2, thread_name_prefix="sink-beside")
        self._registry = SeriesRegistry(self._bounds.max_series_per_tenant)
        self._known: dict[Partition, _Known] = {}
        self._kept_from_us = KEPT_FOREVER_US
        self._epochs: dict[Partition, int] = {}
        self._attempting: set[Partition] = set()
        self._sent: dict[Partition, Written] = {}

    def claim(
        self, partition: Partition, owner: str, start: int, end: int = 0, topic_id: str | None = None
    ) -> Progress:
        """Take ``partition`` over; see :class:`~sinks.protocols.ReadingsSink`.

        Each attempt waits at most five seconds for a predecessor whose transaction holds the row,
        and ends it once that is three seconds old. Raises :class:`~sinks.protocols.SinkUnavailable`.
        """
        with self._session() as session:
            for _ in range(CLAIM_ATTEMPTS - 1):
                with suppress(errors.LockNotAvailable):
                    progress = claims.claim(session, partition, owner, start, end, topic_id)
                    break
            else:
                progress = claims.claim(session, partition, owner, start, end, topic_id)
            reach(Point.DURING_CLAIM)
            self._epochs[partition] = progress.epoch
            if self._detecting is None:
                detectors.forget_detection(session, partition, progress.epoch)
            self._knowledge(session, partition, progress.epoch)
            return progress

    def progress(self, partitions: list[Partition]) -> dict[Partition, Progress]:
        """Return the stored progress of those ``partitions`` that have one."""
        with self._session() as session:
            return claims.progress(session, partitions)

    def halt(self, partition: Partition, epoch: int, kind: HaltKind, reason: str) -> None:
        """Note a halt; see :class:`~sinks.protocols.ReadingsSink`."""
        with self._session() as session:
            claims.halt(session, partition, epoch, kind, reason)

    def attempt(self, partition: Partition, epoch: int, offset: int) -> None:
        """Note an attempt; see :class:`~sinks.protocols.ReadingsSink`."""
        with self._session() as session:
            claims.attempt(session, partition, epoch, offset)
        self._attempting.add(partition)

    def absolve(self, partition: Partition, epoch: int) -> None:
        """Forget strikes and attempts; see :class:`~sinks.protocols.ReadingsSink`."""
        with self._session() as session:
            claims.absolve(session, partition, epoch)
        self._attempting.discard(partition)

    def write(self, flush: Flush) -> Written:
        """Make the flush visible; see :class:`~sinks.protocols.ReadingsSink`.

        Readings of series beyond ``max_series_per_tenant`` become dead letters.
        """
        if not flush.parts:
            return Written()
        reach(Point.BEFORE_FLUSH)
        with self._session() as session:
            second = self._second_session(session) if self._is_large(flush) else None
            resolved = [self._resolve(session, flush, part) for part in flush.parts]
            if second is None:
                parts = self._store(session, flush, resolved)
            else:
                parts = self._store_beside((session, second), flush, halves(resolved))
            reach(Point.AFTER_COMMIT)
            for part in parts:
                self._committed(part)
            self._attempting -= self._sent.keys()
            self._sent = {}
        return total(parts)

    def _store(self, session: Connection, flush: Flush, resolved: Sequence[ResolvedPart]) -> list[JudgedPart]:
        """Make some parts visible in one transaction."""
        session.execute("BEGIN")
        reach(Point.BEFORE_COPY)
        parts = self._copy(session, flush, resolved)
        reach(Point.AFTER_COPY)
        with self._timed("journal"):
            closings = [outcome.closing for part in parts for outcome in part.outcomes]
            copy_closed(session, closings)
            tell_closed(session, closings, self._told)
            transaction.mark_dirty(session, parts)
            if self._detecting is not None:
                self._store_anomalies(session, self._detecting, parts)
            copy_dead_letters(session, parts, self._dead_letters_topic)
            transaction.forward(session, flush, parts, self._registry.homes)
            for part in parts:
                self._known[part.part.partition].note(session, part)
        reach(Point.BEFORE_SWAP)
        self._sent.update({part.part.partition: part.counts for part in parts})
        with self._timed("commit"):
            transaction.advance_and_commit(session, parts, self._kept_from_us)
        return parts

    def _store_anomalies(
        self, session: Connection, detecting: Detecting, parts: Sequence[JudgedPart]
    ) -> None:
        for judged in parts:
            watch, sightings = self._known[judged.part.partition].memory.watch, judged.part.sightings
            assert watch is not None
            assert sightings is not None
            anomalies.store(session, sightings, watch.parameters, detecting.topic)
            anomalies.mark_late(session, *judged.belated)
            if (saved := watch.due()) is not None:
                detectors.save(session, judged.part.partition, watch, saved)

    def _is_large(self, flush: Flush) -> bool:
        return len(flush.parts) > 1 and _readings(flush.parts) >= self._bounds.parallel_rows

    def _second_session(self, session: Connection) -> Connection | None:
        """Return the second connection; None where the database refuses it, until both are opened anew."""
        if self._second is None and not self._is_refused:
            try:
                self._second = connect(self._dsn, self._owner)
            except psycopg.Error as error:
                self._is_refused = True
                log.warning("Large flushes go over one connection, which takes longer: %s", error)
            # What is known is as old as the first connection. A crash in between would have ended that.
            session.execute("SELECT")
        return self._second

    def _store_beside(
        self, sessions: Sequence[Connection], flush: Flush, groups: Sequence[Sequence[ResolvedPart]]
    ) -> list[JudgedPart]:
        """Make each group visible in a transaction of its own, and wait for all of them."""
        stores = [
            self._beside.submit(self._store, session, flush, group)
            for session, group in zip(sessions, groups, strict=True)
            if group
        ]
        wait(stores)
        if problems := [problem for store in stores if (problem := store.exception()) is not None]:
            raise min(problems, key=_may_pass)
        return [part for store in stores for part in store.result()]

    def release(self, partition: Partition) -> None:
        """Forget what is remembered of ``partition``; see :class:`~sinks.protocols.ReadingsSink`."""
        epoch = self._epochs.pop(partition, None)
        attempting = partition in self._attempting
        self._attempting.discard(partition)
        if epoch is not None and self._connection is not None:
            with suppress(SinkError), self._session() as session:
                claims.release(session, partition, epoch, attempting=attempting)
        self._known.pop(partition, None)
        self._share_memory()

    def close(self) -> None:
        """Close the connections."""
        for connection in (self._connection, self._second):
            if connection is not None:
                connection.close()
        self._connection = self._second = None
        self._is_refused = False

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        """Yield the open connection; any failure closes it, which ends the transaction, and is translated."""
        try:
            if self._connection is None:
                self._forget()
                self._connection = connect(self._dsn, self._owner)
                _check_schema(self._connection)
                self._kept_from_us = kept_from_us(self._connection)
            yield self._connection
        except psycopg.Error as error:
            self.close()
            problem = translated(error)
            if isinstance(problem, SinkError):
                problem.sent, self._sent = self._sent, {}
            raise problem from error
        except BaseException:
            self.close()
            raise

    def _forget(self) -> None:
        self._registry.forget()
        self._known.clear()

    def _committed(self, part: JudgedPart) -> None:
        known = self._known[part.part.partition]
        known.journal.committed(part.reports)
        if known.memory.is_overgrown:
            self._known.pop(part.part.partition)

    def _resolve(self, session: Connection, flush: Flush, part: Part) -> ResolvedPart:
        with self._timed("resolve"):
            columns = Columns.concat(part.columns)
            series = self._registry.resolve(session, flush.series, columns.series, part.partition)
            if series.adopted:
                self._known.pop(part.partition, None)
            known = self._knowledge(session, part.partition, part.epoch)
            resolved = ResolvedPart(
                part, columns, series.series_id, series.home, self._registry.home(part.partition)
            )
            if known.memory.watch is not None:
                resolved.introduce(flush, known.memory.watch)
            return resolved

    def _copy(self, session: Connection, flush: Flush, resolved: Sequence[ResolvedPart]) -> list[JudgedPart]:
        """Judge slice by slice, and have the readings of one stored while the next is judged.

        Memory takes each in at once, before it is committed: any failure makes it forget everything.
        """
        parts = []
        many = _readings(part.part for part in resolved) > self._bounds.slice_rows
        with transaction.ReadingsCopy(session, self._timed, threaded=many) as copy:
            for part in resolved:
                memory = self._known[part.part.partition].memory
                history, outcomes, found = DatabaseHistory(copy.session, part.part.partition), [], []
                for rows in slices(len(part.columns), self._bounds.slice_rows):
                    with self._timed("deduplicate"):
                        outcome = part.judge(flush, memory, history, rows)
                    copy.send(outcome)
                    with self._timed("deduplicate"):
                        memory.apply(outcome)
                    outcomes.append(outcome)
                    if memory.watch is not None:
                        with self._timed("detect"):
                            found.append(memory.watch.see(outcome.released, outcome.reached.released_us))
                part.part.sightings = Sightings.together(found) if found else None
                with self._timed("deduplicate"):
                    parts.append(part.judged(flush, outcomes))
            copy.land()
        return parts

    def _knowledge(self, session: Connection, partition: Partition, epoch: int) -> _Known:
        known = self._known.get(partition)
        if known is None or known.epoch != epoch:
            journal, producers = load_journal(session, partition)
            memory = load_memory(
                session, partition, self._kept_from_us, self._patience, producers, self._detecting
            )
            known = self._known[partition] = _Known(epoch, memory, journal)
            self._share_memory()
        return known

    def _share_memory(self) -> None:
        for known in self._known.values():
            known.memory.limit(
                self._bounds.memory_bytes // len(self._known), self._bounds.reorder_bytes // len(self._known)
            )


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered of one partition, under the epoch that makes it true."""

    epoch: int
    memory: PartitionMemory
    journal: Journal

    def note(self, session: Connection, judged: JudgedPart) -> None:
        self.journal.note(session, self.memory, judged.part.next, judged.reports)


def _may_pass(problem: BaseException) -> bool:
    return isinstance(problem, psycopg.Error) and isinstance(translated(problem), SinkError)


def _readings(parts: Iterable[Part]) -> int:
    return sum(part.readings for part in parts)


def _check_schema(session: Connection) -> None:
    if missing := lacking(session):
        raise SinkUnavailable(f"the database lacks {', '.join(missing)}: run `streamgauge migrate`")
