"""What producers send all the while: in every form, with the repeats and corrections of ordinary life."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from tests.chaos.ledger import Reading
from tests.chaos.sender import Form, Sender

START_US = 1_760_000_000_000_000
"""Event time of the first readings, 2025-10-09; every message is a second later than the one before it."""

SECOND_US = 1_000_000
PRODUCERS = 4
READINGS_PER_S = 1_250
SERIES = 20
REPEATED = 0.03
CORRECTED = 0.03
UNUSUAL = 0.002
MOST_BEHIND_S = 1.0

OpenSender = Callable[[str], Sender]


class Load:
    """Producers at work from :meth:`start` until :meth:`end`. The last of them roams between partitions."""

    def __init__(self, seed: int, open_sender: OpenSender, partitions: int) -> None:
        self._over = threading.Event()
        self._goes = threading.Event()
        self._goes.set()
        self._held = threading.Barrier(PRODUCERS + 1)
        self.failures: list[str] = []
        self._threads = [
            threading.Thread(
                target=self._produce,
                args=(number, Random(f"{seed}/load/{number}"), open_sender, partitions),
                name=f"producer-{number}",
                daemon=True,
            )
            for number in range(PRODUCERS)
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Send nothing meanwhile; Kafka has acknowledged everything that was sent before."""
        self._goes.clear()
        self._held.wait()
        try:
            yield
        finally:
            self._goes.set()

    def end(self) -> None:
        """Send no more, and return when Kafka has everything."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert not self.failures, self.failures

    def _produce(self, number: int, random: Random, open_sender: OpenSender, partitions: int) -> None:
        roams = number == PRODUCERS - 1
        try:
            with open_sender(f"gateway-{number}") as sender:
                began, count = time.monotonic(), 0
                for readings, form in messages(f"gateway-{number}", random):
                    partition = random.randrange(partitions) if roams else None
                    sender.send(readings, form, partition)
                    count += len(readings)
                    self._again(sender, random)
                    early_s = began + count / READINGS_PER_S - time.monotonic()
                    if early_s < -MOST_BEHIND_S:  # what an outage held up is not made up for
                        began -= early_s
                    if self._over.wait(max(0.0, early_s)):
                        break
                    if not self._goes.is_set():
                        sender.flush()
                        self._held.wait()
                        self._goes.wait()
                left = sender.flush()
            if left:
                self.failures.append(f"{left} messages of gateway-{number} were never acknowledged")
        except Exception as problem:
            self.failures.append(f"gateway-{number}: {problem!r}")

    def _again(self, sender: Sender, random: Random) -> None:
        """Send one of the last messages again, or a correction of one of its readings, now and then."""
        drawn = random.random()
        if drawn < REPEATED:
            sender.repeat(random.choice(sender.sent[-10:]))
        elif drawn < REPEATED + CORRECTED:
            reading = random.choice(random.choice(sender.sent[-10:]).readings)
            corrected = reading._replace(
                value=reading.value + 1000.0, revision=reading.revision + 1, sequence=None
            )
            sender.send([corrected], Form.SINGLE)


def messages(producer: str, random: Random, start_us: int = START_US) -> Iterator[tuple[list[Reading], Form]]:
    """Yield a producer's messages without end, each with readings of one moment and one after the other."""
    sequence, time_us = 0, start_us
    while True:
        form = random.choice((Form.BATCH, Form.BATCH, Form.JSON_ARRAY, Form.SINGLE, Form.JSON))
        count = {Form.BATCH: 100, Form.JSON_ARRAY: 40}.get(form, 5)
        numbered = random.random() < 0.8
        readings = [
            Reading(
                source=f"{producer}-pump-{nth % SERIES // 2}",
                metric=("flow", "pressure")[nth % 2],
                time_us=time_us + nth // SERIES * SECOND_US // 10,
                value=random.randrange(100_000) / 8 * (50 if random.random() < UNUSUAL else 1),
                producer=producer,
                epoch=1,
                sequence=sequence + nth if numbered else None,
            )
            for nth in range(count)
        ]
        sequence += count if numbered else 0
        time_us += SECOND_US
        yield readings, form
