"""Faults of TimescaleDB and of the way to it."""

from __future__ import annotations

import signal
import time
from random import Random

import psutil

from tests.chaos.faults.fault import Fault, NotStruck
from tests.chaos.faults.full import fill_the_disk
from tests.chaos.ledger import Reading
from tests.chaos.load import START_US
from tests.chaos.run import Run
from tests.chaos.sender import Form
from tests.documents import dropping_of_chunks
from tests.waiting import NotInTime, eventually

DATABASE = frozenset({"database"})
COMMIT = b"synchronous_commit TO off; COMMIT"
DAY_US = 86_400_000_000
MEMORY_MB = 16
MEMORY_BOUND_MB = 500
"""What a worker may take in all: its imports, the bounded queues before a flush, and ``memory_mb``."""

_LOCKS = (
    "LOCK TABLE readings IN ACCESS EXCLUSIVE MODE",
    "LOCK TABLE readings IN SHARE MODE",
    "SELECT FROM progress FOR UPDATE",
)
_END_A_SESSION = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'streamgauge/%%'
    ORDER BY random() LIMIT %s
"""


def stop_at_once(run: Run, random: Random) -> None:
    """Shut the database down immediately, as a crash would, and start it again."""
    run.stack.end("timescaledb", signal.SIGQUIT)
    time.sleep(random.uniform(0.0, 15.0 if run.long else 1.0))
    run.stack.up("timescaledb")


def cut_at_commit(run: Run, random: Random) -> None:
    """Cut the connection at COMMIT: before the database has it, or before the worker has its reply."""
    for turn in range(4):
        if turn % 2:
            run.relay.cut_instead_of(COMMIT)
        else:
            run.relay.cut_instead_of_reply_to(COMMIT)
        try:
            eventually(lambda: run.relay.is_cut, "a flush to commit", 20.0)
            time.sleep(random.uniform(0.0, 0.3))
        except NotInTime as late:
            raise NotStruck("no flush came to its COMMIT") from late
        finally:
            run.relay.mend()
        run.watch.mark()
        time.sleep(random.uniform(0.2, 0.6))


def end_sessions(run: Run, random: Random) -> None:
    """End sessions of workers, one or all, again and again."""
    with run.administer() as session:
        for _ in range(6):
            session.execute(_END_A_SESSION, (random.choice((1, 1, 100)),))
            run.watch.mark()
            time.sleep(random.uniform(0.05, 0.6))


def hold_locks(run: Run, random: Random) -> None:
    """Hold locks on ``readings`` and ``progress``, for longer than a flush waits in a long run."""
    with run.connect() as session:
        for lock in _LOCKS:
            with session.transaction():
                session.execute(lock.encode())
                time.sleep(random.uniform(5.5, 8.0) if run.long else random.uniform(0.5, 1.5))
            time.sleep(0.3)


def drop_chunks(run: Run, random: Random) -> None:
    """Drop old chunks, as the runbook says, while readings of their days still arrive."""
    _, drop = dropping_of_chunks()
    with run.sender("archive") as sender, run.connect() as session:

        def send(day: int, first: int) -> None:
            times = [START_US - day * DAY_US + number * 1_000_000 for number in range(first, first + 200)]
            readings = [Reading("archive", "level", each, float(day), "archive") for each in times]
            sender.send(readings, Form.BATCH)

        for day in range(20, 10, -1):
            send(day, 0)
        sender.flush()
        run.watch.mark()
        time.sleep(random.uniform(0.2, 0.5))
        for kept in (18, 15, 12):
            for day in range(20, 10, -1):
                send(day, 20 - kept)  # some again, some for the first time
            session.execute(
                "UPDATE raw_retention SET kept_from = time_bucket('1 day', to_timestamp(%s))",
                ((START_US - kept * DAY_US) / 1e6,),
            )
            session.execute(drop.encode())


def slow_down(run: Run, random: Random) -> None:
    """Make every message to the database late while a backlog arrives; memory has a bound all the same."""
    run.relay.delay_s = 0.15
    most_bytes = 0
    try:
        with run.sender("burst") as sender:
            for number in range(100):
                times = [START_US + DAY_US + number * 1000 + nth for nth in range(1000)]
                readings = [Reading(f"burst-{number % 10}", "v", each, 1.0, "burst") for each in times]
                sender.send(readings, Form.BATCH)
                if number % 10 == 0:
                    most_bytes = max(most_bytes, *(_resident_bytes(one.pid) for one in run.crew.workers))
        for _ in range(20):
            most_bytes = max(most_bytes, *(_resident_bytes(one.pid) for one in run.crew.workers))
            time.sleep(0.1)
    finally:
        run.relay.delay_s = 0.0
    run.figures["memory_mb"] = most_bytes / 1e6
    if most_bytes > MEMORY_BOUND_MB * 1e6:
        run.found["memory"] = 1


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


FAULTS = [
    Fault("database-stopped", "immediate stop of the database, and its restart", stop_at_once, DATABASE),
    Fault(
        "commit-cut",
        "the connection is cut at COMMIT, in both directions",
        cut_at_commit,
        DATABASE,
        by_relay=True,
    ),
    Fault("sessions-ended", "pg_terminate_backend at random", end_sessions, DATABASE),
    Fault("disk-full", "the file system of new chunks is full", fill_the_disk, DATABASE),
    Fault("locks-held", "a session holds locks on readings and progress", hold_locks, DATABASE),
    Fault("chunks-dropped", "chunks are dropped while readings of their days arrive", drop_chunks, DATABASE),
    Fault(
        "database-slow",
        "a very slow database; the memory of workers has a bound",
        slow_down,
        DATABASE,
        {"STREAMGAUGE_MEMORY_MB": str(MEMORY_MB)},
        by_relay=True,
    ),
]
