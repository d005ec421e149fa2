"""A file system that is full: new chunks go to a small one, of memory, that only the database sees."""

from __future__ import annotations

import subprocess
import time
from random import Random

from psycopg import sql

from infra.stack.cache import cache_dir
from infra.stack.debian import SUITE
from infra.stack.jail import SERVICE_ID, is_root
from tests.chaos.faults.fault import NotStruck
from tests.chaos.ledger import Reading
from tests.chaos.load import START_US
from tests.chaos.run import Run
from tests.chaos.sender import Form
from tests.waiting import eventually

SMALL, LARGE = "2m", "256m"
DAY_US = 86_400_000_000


def obstacle() -> str:
    """Return why the disk cannot be full here; empty if it can."""
    return "" if is_root() else "only root may mount a small file system for the database"


def fill_the_disk(run: Run, random: Random) -> None:
    """Send new days' readings until the small file system is full; then make it larger."""
    if why := obstacle():
        raise NotStruck(why)
    place = run.database
    _mount(run, place)
    with run.administer() as session:
        name = sql.Identifier(place)
        session.execute(
            sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(name, sql.Literal(f"/srv/{place}"))
        )
        session.execute(sql.SQL("GRANT CREATE ON TABLESPACE {} TO PUBLIC").format(name))
        session.execute("SELECT attach_tablespace(%s, 'readings')", (place,))
    run.when_database_is_gone(lambda: _forget(run, place))
    with run.sender("archive") as sender:
        for batch in range(60):
            day_us = START_US - (40 + batch % 4) * DAY_US
            times = [day_us + batch * 1_000_000 + number for number in range(1000)]
            readings = [Reading(f"disk-{batch}", "level", each, 1.0, "archive") for each in times]
            sender.send(readings, Form.BATCH)
        full = "the database's disk is full"
        eventually(lambda: any(worker.said(full) for worker in run.crew.workers), full)
        time.sleep(random.uniform(0.5, 2.0))
    _mount(run, place, "remount,")


def _forget(run: Run, place: str) -> None:
    with run.administer("postgres") as server:
        server.execute(sql.SQL("DROP TABLESPACE {}").format(sql.Identifier(place)))
    _inside(run, "umount", _path(place))


def _mount(run: Run, place: str, mode: str = "") -> None:
    (run.stack.data("timescaledb") / place).mkdir(exist_ok=True)
    size = LARGE if mode else SMALL
    options = f"{mode}size={size},uid={SERVICE_ID},gid={SERVICE_ID},mode=0700"
    _inside(run, "mount", "-t", "tmpfs", "-o", options, "tmpfs", _path(place))


def _path(place: str) -> str:
    return str(cache_dir() / f"debian-{SUITE}" / "root" / "srv" / place)


def _inside(run: Run, *command: str) -> None:
    # In the database's own mount namespace: nobody else sees the mount, and it ends with the database.
    enter = ["nsenter", f"--target={run.stack.pid('timescaledb')}", "--mount", "--", *command]
    done = subprocess.run(enter, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotStruck(f"{' '.join(command)}: {done.stderr.strip()}")
