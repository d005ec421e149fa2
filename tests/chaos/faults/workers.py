"""Faults of workers."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from random import Random

import psutil

from streams.failpoints import Point
from tests.chaos.faults.fault import Fault, NotStruck, Strike
from tests.chaos.run import SESSION_S, Run
from tests.waiting import NotInTime, eventually

DIES_WITHIN_S = 30.0


def die_at_the_failpoint(run: Run, random: Random) -> None:
    """Wait for the worker that was started with a failpoint to come there."""
    try:
        eventually(lambda: any(worker.deaths for worker in run.crew.workers), "a death", DIES_WITHIN_S)
    except NotInTime as late:
        raise NotStruck("no worker came to the failpoint") from late


def join_until_dead(run: Run, random: Random) -> None:
    """Let workers join, each of which makes the others rebalance, until one dies of it."""
    for _ in range(3):
        guest = run.crew.add()
        try:
            eventually(lambda: any(worker.deaths for worker in run.crew.workers), "a death", 5.0)
        except NotInTime:
            continue
        finally:
            guest.stop()
        return
    raise NotStruck("no worker came to the failpoint")


def kill(run: Run, random: Random) -> None:
    """End a worker as a power cut would, at a random moment."""
    worker = random.choice(run.crew.workers)
    deaths = worker.deaths
    worker.signal(signal.SIGKILL)
    eventually(lambda: worker.deaths > deaths, "its death to be noticed")


def pause(run: Run, random: Random) -> None:
    """Stop a worker's process until the others have its partitions, then let it go on."""
    zombie = random.choice(run.crew.workers)
    run.watch.mark()
    zombie.signal(signal.SIGSTOP)
    try:
        time.sleep(SESSION_S + random.uniform(2.0, 6.0 if run.long else 3.0))
    finally:
        zombie.signal(signal.SIGCONT)


def pause_at_the_failpoint(run: Run, random: Random) -> None:
    """Wait until a worker has stopped itself with a flush in its hands, then let it wake as a zombie."""
    zombie = run.crew.workers[0]
    try:
        eventually(lambda: _is_stopped(zombie.pid), "a worker to stop itself", DIES_WITHIN_S)
    except NotInTime as late:
        raise NotStruck("no worker came to the failpoint") from late
    run.watch.mark()
    try:
        time.sleep(SESSION_S + 3.0)
    finally:
        zombie.signal(signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def join_and_leave(run: Run, random: Random) -> None:
    """Let another worker join, work, and leave."""
    guest = run.crew.add()
    eventually(lambda: guest.said("Holding"), "the guest to hold partitions")
    run.watch.mark()
    time.sleep(random.uniform(0.3, 1.5))
    _leaves(run, guest.stop())


def rolling_restart(run: Run, random: Random) -> None:
    """Ask one worker after the other to stop, and start it again."""
    for worker in list(run.crew.workers):
        run.watch.mark()
        _leaves(run, worker.stop())
        worker.wanted = True
        time.sleep(random.uniform(0.5, 2.0))


def _leaves(run: Run, exit_code: int | None) -> None:
    if exit_code != 0:
        run.remarks.append(f"a worker that was asked to stop ended with {exit_code}")


def _at(point: Point, most: int) -> Callable[[Random], str]:
    return lambda random: f"{point}:kill:{random.randint(1, most)}"


def _killed(point: Point, most: int, meaning: str, strike: Strike = die_at_the_failpoint) -> Fault:
    name = f"kill-{point.replace('_', '-')}"
    return Fault(name, meaning, strike, frozenset({"failpoint"}), failpoint=_at(point, most))


FAULTS = [
    Fault("kill-worker", "kill -9 of a worker at any moment", kill),
    _killed(Point.BEFORE_FLUSH, 20, "kill -9 with a flush collected"),
    _killed(Point.BEFORE_COPY, 20, "kill -9 before COPY"),
    _killed(Point.AFTER_COPY, 20, "kill -9 after COPY"),
    _killed(Point.BEFORE_SWAP, 20, "kill -9 before the compare-and-swap"),
    _killed(Point.BEFORE_COMMIT, 20, "kill -9 between compare-and-swap and COMMIT"),
    _killed(Point.AFTER_COMMIT, 20, "kill -9 after COMMIT"),
    _killed(Point.BEFORE_TELL, 3, "kill -9 before the commit is told to Kafka"),
    _killed(Point.DURING_CLAIM, 2, "kill -9 while the state of a partition is loaded"),
    _killed(Point.DURING_REBALANCE, 2, "kill -9 during a rebalance", join_until_dead),
    Fault(
        "relay-killed",
        "kill -9 of the outbox relay between send and mark",
        die_at_the_failpoint,
        frozenset({"failpoint"}),
        failpoint=_at(Point.BEFORE_MARK, 5),
        everywhere=True,
    ),
    Fault("worker-paused", "SIGSTOP past the session timeout, then SIGCONT", pause),
    Fault(
        "zombie-flush",
        "SIGSTOP with a flush in hand, past the session timeout, then SIGCONT",
        pause_at_the_failpoint,
        frozenset({"failpoint"}),
        failpoint=lambda random: f"{Point.BEFORE_FLUSH}:stop:{random.randint(1, 20)}",
    ),
    Fault("join-and-leave", "a worker joins, works, and leaves", join_and_leave),
    Fault(
        "join-while-slow",
        "a worker joins while another's flush takes seconds",
        join_and_leave,
        frozenset({"failpoint"}),
        failpoint=lambda random: f"{Point.AFTER_COPY}:sleep={random.uniform(0.5, 1.0):.2f}",
    ),
    Fault("rolling-restart", "all workers are restarted in turn", rolling_restart),
]
