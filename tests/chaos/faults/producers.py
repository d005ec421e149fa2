"""What producers do that nobody asked them to."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from itertools import islice
from random import Random

from tests.chaos.faults.fault import Fault
from tests.chaos.ledger import Reading
from tests.chaos.load import START_US, messages
from tests.chaos.run import Run
from tests.chaos.sender import Form, Sent
from tests.integration.test_ingest_bad_input import BAD
from tests.waiting import eventually

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


def repeat(run: Run, random: Random) -> None:
    """Send again what was just sent, what has left a worker's memory, and what no worker ever knew."""
    gateways = list(run.senders)
    with run.sender("repeater") as repeater:

        def again(messages: Iterable[Sent]) -> None:
            for message in messages:
                repeater.repeat(message)

        for gateway in gateways:
            again(gateway.sent[-20:])
        for number in range(40):
            times = [START_US + DAY_US + number * 1000 + nth for nth in range(1000)]
            readings = [Reading("history", "level", time_us, 1.0, "gateway-0") for time_us in times]
            repeater.send(readings, Form.BATCH)
        again(gateways[0].sent[:20])
        worker = random.choice(run.crew.workers)
        deaths = worker.deaths
        worker.signal(signal.SIGKILL)
        eventually(lambda: worker.deaths > deaths, "its death to be noticed")
        for gateway in gateways:
            again(random.sample(gateway.sent, 20))


def restart_producer(run: Run, random: Random) -> None:
    """Leave gaps, restart under a higher epoch, fill the gaps, and let stragglers of before arrive."""
    with run.sender("plc") as sender:
        first = [_numbered("plc", 1, number * 10) for number in range(60)]
        second = [_numbered("plc", 2, number * 10) for number in range(60)]
        kept = [batch for batch in first if random.random() < 0.7]
        gaps = [batch for batch in second if random.random() < 0.3]
        for batch in [*kept, *(batch for batch in second if batch not in gaps)]:
            sender.send(batch, Form.BATCH)
        stragglers = random.sample(kept, 10) + [batch for batch in first if batch not in kept]
        late = [*gaps, *stragglers]
        random.shuffle(late)
        for batch in late:
            sender.send(batch, Form.BATCH)


def _numbered(producer: str, epoch: int, start: int) -> list[Reading]:
    return [
        Reading(
            source=f"{producer}-drive",
            metric="speed",
            time_us=START_US + epoch * DAY_US + number * 1_000_000,
            value=float(number),
            producer=producer,
            epoch=epoch,
            sequence=number,
        )
        for number in range(start, start + 10)
    ]


def disorder(run: Run, random: Random) -> None:
    """Send out of order by hours, a day at once, ahead of the time, and with clocks that are years wrong."""
    now_us = time.time_ns() // 1000
    with run.sender("logger") as sender:
        hours = list(range(48))
        random.shuffle(hours)
        for hour in hours:
            for readings, form in islice(messages("logger", random, START_US - hour * HOUR_US), 2):
                sender.send([reading._replace(sequence=None) for reading in readings], form)
        offline = [
            Reading("buoy", "level", START_US - 3 * DAY_US + minute * 60_000_000, float(minute), "buoy")
            for minute in range(1440)
        ]
        sender.send(offline, Form.BATCH)
        for number, time_us in enumerate(
            (
                now_us + 1800 * 1_000_000,  # ahead, and still allowed
                now_us + 2 * HOUR_US,
                now_us + 400 * DAY_US,
                0,  # 1970
                946_684_800_000_000,  # 2000, the first moment that is taken
                2_085_978_496_000_000,  # 2036
                4_102_444_799_000_000,  # the last second of 2099
            )
        ):
            sender.send([Reading("rtc", "drift", time_us, float(number), "rtc")], random.choice(list(Form)))


def poison(run: Run, random: Random) -> None:
    """Send everything that cannot be decoded or makes no sense."""
    payloads = [payload for payload, _ in BAD.values()]
    random.shuffle(payloads)
    with run.sender("stranger") as sender:
        for payload in payloads:
            sender.send_bytes(payload, random.choice((b"gateway-0", b"gateway-1", b"stranger")))
            time.sleep(0.02)


FAULTS = [
    Fault(
        "repeats",
        "producers repeat within, beyond and far beyond what workers remember",
        repeat,
        settings={"STREAMGAUGE_MEMORY_MB": "1"},
    ),
    Fault("producer-restarts", "producers restart, leave gaps, and fill them later", restart_producer),
    Fault("disorder", "out of order by hours, a day at once, clocks years wrong", disorder),
    Fault("poison", "records that cannot be decoded, of every kind", poison),
]
