"""Faults of the log itself: its beginning is deleted, it is made again, it gets more partitions.

Where a worker cannot know where to go on it halts, and somebody decides by ``streamgauge resume``.
"""

from __future__ import annotations

import signal
from contextlib import closing
from itertools import islice
from random import Random

from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from jobs.resume import Decision, Register, find_log, target
from tests.chaos.faults.fault import Fault
from tests.chaos.load import messages
from tests.chaos.run import PARTITIONS, Run
from tests.waiting import eventually

TOPIC = frozenset({"topic", "kafka"})


def pass_the_stored_offset(run: Run, random: Random) -> None:
    """Delete the beginning of a partition's log, more than is stored, while no worker is there."""
    partition = random.randrange(PARTITIONS)
    for worker in run.crew.workers:
        worker.wanted = False
        worker.signal(signal.SIGKILL)
    stored = run.stored(partition)
    eventually(lambda: run.log_ends()[partition] > stored + 5, "more records")
    cut = TopicPartition(run.topic, partition, stored + 5)
    run.admin.delete_records([cut])[cut].result(30)
    for worker in run.crew.workers:
        worker.wanted = True
    eventually(lambda: run.halts() == {partition: "deleted"}, "the partition to be halted")
    resume(run, partition)


def make_topic_again(run: Run, random: Random) -> None:
    """Delete the topic when all of it is stored, and create another one of its name."""
    with run.load.held():
        run.drain()
        run.delete_topics(run.topic)
        eventually(lambda: run.topic not in run.admin.list_topics(timeout=10).topics, "the topic to be gone")
        run.make_topic(run.topic, PARTITIONS)
        run.watch.begin_anew()
    everything = dict.fromkeys(range(PARTITIONS), "recreated")
    eventually(lambda: run.halts() == everything, "all partitions to be halted")
    for partition in range(PARTITIONS):
        resume(run, partition)


def resume(run: Run, partition: int) -> None:
    """Let a halted partition go on from the beginning of its log."""
    with closing(Register(run.dsn)) as register:
        state = register.state(run.topic, partition)
        log = find_log(run.settings.kafka, run.topic, partition)
        decision = Decision(state, log, target("earliest", state, log))
        register.resume(run.topic, partition, decision, "chaos")


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
    Fault("retention", "retention passes the stored offset; resumed by hand", pass_the_stored_offset, TOPIC),
    Fault("topic-recreated", "the topic is deleted and made again; resumed by hand", make_topic_again, TOPIC),
    Fault("partitions-added", "partitions are added while readings flow", add_partitions, TOPIC),
]
