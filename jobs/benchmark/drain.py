"""A backlog goes through workers into the database, and the stored progress says how fast.

Progress carries the moment of each commit, so nothing has to be guessed between two looks at it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg

from jobs.benchmark.backlog import Backlog
from jobs.benchmark.cpu import CpuMeter, service_pids
from jobs.benchmark.rounds import Run
from jobs.benchmark.workers import BenchmarkWorker, Stages, stages_together, workers_on
from streams.errors import UserError

LOOK_FIRST_S = 0.005
LOOK_LATER_S = 0.05
"""A look costs CPU: only the first flush has to be noticed at once."""
PATIENCE_S = 600.0

_PROGRESS = """
    SELECT partition, owner, next_offset, written + dead_letters + duplicates + corrections + forwarded,
           extract(epoch FROM updated_at)::float8
    FROM progress WHERE topic = %s
"""

Session = psycopg.Connection[tuple[Any, ...]]


class Stored(NamedTuple):
    """How far one partition is stored: ``handled`` readings, the last at ``at_s`` since 1970."""

    partition: int
    owner: str
    next_offset: int
    handled: int
    at_s: float


class Mark(NamedTuple):
    """What was reached at one moment, and what it had cost."""

    at_s: float
    handled: int
    cpu_s: dict[str, float]
    stages: Stages


class Watch:
    """Follows the progress of a backlog that ``workers`` workers share."""

    def __init__(self, session: Session, backlog: Backlog, workers: int) -> None:
        self._session = session
        self._backlog = backlog
        self._workers = workers
        self._first: dict[tuple[int, str], int] = {}
        self._rows: list[Stored] = []

    def look(self) -> None:
        """Read the progress."""
        self._rows = [Stored(*row) for row in self._session.execute(_PROGRESS, (self._backlog.topic,))]
        for row in self._rows:
            self._first.setdefault((row.partition, row.owner), row.handled)

    @property
    def position(self) -> tuple[float, int]:
        """When the last flush was committed, and how many readings had been handled by then."""
        moved = [row for row in self._rows if row.handled]
        return max((row.at_s for row in moved), default=0.0), sum(row.handled for row in moved)

    def all_hold(self) -> bool:
        """Tell whether every worker has claimed something."""
        return len({row.owner for row in self._rows}) >= self._workers or self.all_stored()

    def all_move(self) -> bool:
        """Tell whether every worker has stored something."""
        moving = {row.owner for row in self._rows if row.handled > self._first[row.partition, row.owner]}
        return len(moving) >= self._workers or self.all_stored()

    def any_idle(self) -> bool:
        """Tell whether a worker has nothing left to do."""
        owners = {row.owner for row in self._rows}
        busy = {row.owner for row in self._rows if row.next_offset < self._backlog.ends[row.partition]}
        return len(self._rows) == len(self._backlog.ends) and owners != busy

    def all_stored(self) -> bool:
        """Tell whether everything is stored."""
        return {row.partition: row.next_offset for row in self._rows} == self._backlog.ends


def drain(backlog: Backlog, dsn: str, workers: int = 1) -> Run:
    """Have workers store a backlog in an empty database; measure while all of them are at work.

    That is from the first moment at which each has stored something to the first at which one has
    nothing left. Raises :class:`~streams.errors.UserError` when that is no time at all.
    """
    began_s = time.time()
    with (
        psycopg.connect(dsn, autocommit=True) as session,
        workers_on(backlog.topic, dsn, workers) as started,
    ):
        watch = Watch(session, backlog, workers)
        meter = CpuMeter({"worker": [worker.pid for worker in started], **service_pids()})

        def until(reached: Callable[[], bool], look_every_s: float = LOOK_LATER_S) -> Mark:
            _wait(watch, reached, started, look_every_s)
            at_s, handled = watch.position
            return Mark(at_s, handled, meter.read(), stages_together(started))

        held = until(watch.all_hold, LOOK_FIRST_S)
        first = until(watch.all_move, LOOK_FIRST_S)
        last = until(watch.any_idle)
        until(watch.all_stored)
    return run_between(held, first, last, began_s)


def _wait(
    watch: Watch, reached: Callable[[], bool], workers: list[BenchmarkWorker], look_every_s: float
) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    watch.look()
    while not reached():
        if time.monotonic() > deadline_s:
            raise UserError(
                f"the backlog was not stored within {PATIENCE_S:.0f} s", hint=f"See {workers[0].log}"
            )
        for worker in workers:
            worker.check()
        time.sleep(look_every_s)
        watch.look()


def run_between(held: Mark, first: Mark, last: Mark, began_s: float) -> Run:
    """Return the rate from ``first`` to ``last``, and the costs since the workers held their partitions.

    They read ahead before the first flush, which would be missing in the costs. They were started
    at ``began_s``.
    """
    if last.handled == first.handled:
        raise UserError(
            "all readings were stored at once, so that no rate can be told",
            hint="Ask for more of them: --readings",
        )
    return Run(
        readings=last.handled - first.handled,
        seconds=last.at_s - first.at_s,
        cpu_s=_difference(last.cpu_s, held.cpu_s),
        stages_s=_difference(last.stages.elapsed_s, held.stages.elapsed_s),
        stages_cpu_s=_difference(last.stages.cpu_s, held.stages.cpu_s),
        more={"first_row_s": first.at_s - began_s},
        costed=last.handled - held.handled,
    )


def _difference(later: Any, earlier: Any) -> dict[str, float]:
    return {name: value - earlier.get(name, 0.0) for name, value in later.items()}
