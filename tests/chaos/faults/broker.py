"""Faults of Kafka and its logs."""

from __future__ import annotations

import os
import signal
import time
from itertools import islice
from random import Random

from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from tests.chaos.faults.fault import Fault
from tests.chaos.load import messages
from tests.chaos.run import PARTITIONS, Run, eventually

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


def add_partitions(run: Run, random: Random) -> None:
    """Add partitions to the topic, and send to them: new series, and some that are at home elsewhere."""
    count = PARTITIONS + random.randint(1, 3)
    run.admin.create_partitions([NewPartitions(run.topic, count)])[run.topic].result(30)
    run.watch.mark()
    with run.sender("newcomer") as sender:
        for new in range(PARTITIONS, count):
            for message in random.sample(list(run.senders[0].sent), 5):
                sender.repeat(message._replace(partition=new))
            for readings, form in islice(messages(f"newcomer-{new}", random), 5):
                sender.send(readings, form, new)
    eventually(lambda: set(run.watch.stored) >= set(range(count)), "workers to find the new partitions")


FAULTS = [
    Fault("broker-killed", "kill -9 of the broker, and its restart", kill, KAFKA),
    Fault("broker-paused", "SIGSTOP of the broker, then SIGCONT", pause, KAFKA),
    Fault("outbox-grows", "the broker is away while forwarded readings wait", grow_outbox, KAFKA),
    Fault("partitions-added", "partitions are added while readings flow", add_partitions, KAFKA),
]
