"""The pipeline beside what one could use instead: the same readings into the same table.

Each is timed undisturbed, and once killed in the middle and started again, to see what is lost or
stored twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from jobs.benchmark.backlog import Backlog, Shape
from jobs.benchmark.cpu import CpuMeter, service_pids
from jobs.benchmark.drain import Session, Watch
from jobs.benchmark.pipeline import backlogs, drained, new_database
from jobs.benchmark.rivals import Attempt, Rival, attempt, environment_of
from jobs.benchmark.rounds import Contestant, Run, Say, compete, results
from jobs.benchmark.workers import workers_on
from jobs.generate import Encoding
from streams.errors import UserError

LOOK_EVERY_S = 0.02
PATIENCE_S = 900.0
KILLED_AT = 0.4
"""Of the readings so many are stored when the process is killed."""

QUIET_S = 30.0
"""Without a commit for so long nothing more is expected: longer than the session of a killed member."""

SETTLED_S = 3.0
"""All readings are there: repeats of them would have come by then."""

_FOUND = "SELECT count(*), count(DISTINCT (series_id, ts)) FROM readings"


def timed(rival: Rival, python: Path, backlog: Backlog) -> Run:
    """Have a rival store a backlog; from its first commit to its last."""
    with new_database() as dsn, attempt(rival, python, backlog, dsn) as tried:
        meter = CpuMeter({"worker": [tried.process.pid], **service_pids()})
        _until(tried, lambda: bool(tried.commits()))
        cpu_s = meter.read()
        _until(tried, lambda: _stored(tried) >= backlog.readings)
        used = {name: value - cpu_s[name] for name, value in meter.read().items()}
        return run_of(tried.commits(), used)


def run_of(commits: Sequence[tuple[float, int]], cpu_s: dict[str, float]) -> Run:
    """Return the rate from the first commit to the last."""
    (first_s, first), (last_s, _) = commits[0], commits[-1]
    if last_s <= first_s:
        raise UserError("all readings were stored at once", hint="Ask for more of them: --readings")
    return Run(sum(count for _, count in commits) - first, last_s - first_s, cpu_s)


def killed(rival: Rival, python: Path, backlog: Backlog) -> dict[str, int]:
    """Kill a rival in the middle, start it again, and count what is lost and what is there twice."""
    with (
        new_database() as dsn,
        attempt(rival, python, backlog, dsn) as tried,
        psycopg.connect(dsn, autocommit=True) as session,
    ):
        _until(tried, lambda: _stored(tried) >= KILLED_AT * backlog.readings)
        tried.process.kill()
        tried.start()
        _until_quiet(lambda: len(tried.commits()), lambda: _missing(session, backlog) <= 0)
        return harm(session, backlog)


def killed_worker(backlog: Backlog) -> dict[str, int]:
    """Do the same to a worker of ours."""
    with new_database() as dsn, psycopg.connect(dsn, autocommit=True) as session:
        watch = Watch(session, backlog, 1)
        with workers_on(backlog.topic, dsn, 1) as (worker,):
            _wait(lambda: _handled(watch) >= KILLED_AT * backlog.readings, worker.check)
            worker.kill()
        with workers_on(backlog.topic, dsn, 1):
            _until_quiet(lambda: _handled(watch), watch.all_stored)
        return harm(session, backlog)


def harm(session: Session, backlog: Backlog) -> dict[str, int]:
    """Return how many readings are lost, and how many are stored more often than once."""
    ((rows, distinct),) = session.execute(_FOUND).fetchall()
    return {"lost": backlog.readings - distinct, "doubled": rows - distinct}


def _missing(session: Session, backlog: Backlog) -> int:
    ((_, distinct),) = session.execute(_FOUND).fetchall()
    return int(backlog.readings - distinct)


def _stored(tried: Attempt) -> int:
    return sum(count for _, count in tried.commits())


def _handled(watch: Watch) -> int:
    watch.look()
    return watch.position[1]


def _until(tried: Attempt, reached: Callable[[], bool]) -> None:
    _wait(reached, tried.process.check)


def _wait(reached: Callable[[], bool], check: Callable[[], None]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not reached():
        check()
        if time.monotonic() > deadline_s:
            raise UserError(f"not done after {PATIENCE_S:.0f} s", hint="Ask for fewer readings: --readings")
        time.sleep(LOOK_EVERY_S)


def _until_quiet(progress: Callable[[], int], complete: Callable[[], bool]) -> None:
    """Return when nothing has moved for a while; how long depends on whether all is there."""
    seen, moved_s = progress(), time.monotonic()
    while time.monotonic() - moved_s < QUIET_S:
        time.sleep(SETTLED_S / 10)
        if (now := progress()) != seen:
            seen, moved_s = now, time.monotonic()
        elif time.monotonic() - moved_s > SETTLED_S and complete():
            return


def measure(
    readings: int,
    rounds: int,
    shape: Shape,
    encodings: Sequence[Encoding],
    rivals: Sequence[Rival],
    partitions: int,
    kill: bool,
    say: Say,
) -> list[dict[str, Any]]:
    """Measure the pipeline and every rival that can be installed, in rounds; then kill each once."""
    pythons = _installed(rivals, say)
    with ExitStack() as stack:
        waiting = backlogs(stack, encodings, readings, shape, partitions, say)
        contestants, kills = [], {}
        for encoding, backlog in waiting.items():
            own = f"streamgauge_{encoding.value}"
            contestants.append(Contestant(own, partial(drained, backlog)))
            kills[own] = partial(killed_worker, backlog)
            for rival, python in pythons.items():
                if encoding in rival.encodings:
                    name = f"{rival.name}_{encoding.value}"
                    run = partial(timed, rival, python, backlog)
                    contestants.append(Contestant(name, run, {"share_of_streamgauge": own}))
                    kills[name] = partial(killed, rival, python, backlog)
        found = results(contestants, compete(contestants, rounds, say))
        if not kill:
            return found
        harmed = []
        for result in found:
            say(f"killing {result['name']}")
            harmed.append(result | kills[result["name"]]())
        return harmed


def _installed(rivals: Sequence[Rival], say: Say) -> dict[Rival, Path]:
    pythons = {}
    for rival in rivals:
        try:
            pythons[rival] = environment_of(rival, say)
        except UserError as error:
            say(f"{rival.name} is left out: {error}")
    return pythons
