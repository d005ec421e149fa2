"""Faults of the broker."""

from __future__ import annotations

import os
import signal
import time
from random import Random

from tests.chaos.faults.fault import Fault
from tests.chaos.run import Run
from tests.waiting import eventually

KAFKA = frozenset({"kafka"})

_TAKE_THE_LOCK = "SELECT pg_try_advisory_lock(hashtext('streamgauge outbox'))"
_END_ITS_HOLDER = """
    SELECT pg_terminate_backend(pid, 2000) FROM pg_locks
    WHERE locktype = 'advisory' AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def kill(run: Run, random: Random) -> None:
    """End the broker as a power cut would, and start it again."""
    run.stack.end("kafka", signal.SIGKILL)
    time.sleep(random.uniform(0.0, 1.0))
    run.stack.up("kafka")


def pause(run: Run, random: Random) -> None:
    """Stop the broker's process, and let it go on."""
    pid = run.stack.pid("kafka")
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(30.0 if run.long else random.uniform(2.0, 4.0))
    finally:
        os.kill(pid, signal.SIGCONT)


def grow_outbox(run: Run, random: Random) -> None:
    """Stop the broker when readings are to be forwarded; what waits in the outbox is sent later."""
    with run.administer() as session:
        while session.execute(_TAKE_THE_LOCK).fetchone() != (True,):
            session.execute(_END_ITS_HOLDER)
        grows = "SELECT count(*) > 5 FROM outbox"
        eventually(lambda: session.execute(grows).fetchone() == (True,), "the outbox to grow")
        pause(run, random)


FAULTS = [
    Fault("broker-killed", "kill -9 of the broker, and its restart", kill, KAFKA),
    Fault("broker-paused", "SIGSTOP of the broker, then SIGCONT", pause, KAFKA),
    # It looks into the outbox meanwhile.
    Fault(
        "outbox-grows",
        "the broker is away while forwarded readings wait",
        grow_outbox,
        KAFKA | {"database"},
    ),
]
