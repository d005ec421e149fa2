"""The collector keeps its schedule, numbers its readings, and says what happens to them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from jobs.collect import Clock, Collected, Collector, Host
from jobs.host.samples import Sample
from jobs.host.snapshot import CpuTime, Snapshot, Space
from jobs.producer import Deliveries, Message, ReadingsProducer

SNAPSHOT = Snapshot(
    at_s=0.0,
    cores=(CpuTime(0.0, 0.0),),
    memory=Space(1, 2),
    memory_available=1,
    swap=Space(0, 0),
    load=(0.0, 0.0, 0.0),
    uptime_s=0.0,
)


class Bench:
    """A clock that moves when somebody waits, a machine to measure, and a Kafka that can be away.

    ``slow_s`` is how long each measurement takes, ``away`` when Kafka takes nothing.
    """

    def __init__(self, slow_s: float = 0.0, away: Callable[[float], bool] = lambda _: False) -> None:
        self.now_s = 1000.0
        self.taken_at: list[float] = []
        self.sent: list[Message] = []
        self.deliveries = Deliveries()
        self._slow_s = slow_s
        self._away = away

    def take(self) -> Snapshot:
        """Measure, which takes time."""
        self.taken_at.append(self.now_s)
        self.now_s += self._slow_s
        return replace(SNAPSHOT, at_s=self.now_s)

    def offer(self, message: Message) -> bool:
        """Take a message unless Kafka is away."""
        if self._away(self.now_s):
            return False
        self.sent.append(message)
        self.deliveries.accepted += message.readings
        self.deliveries.delivered += message.readings
        return True

    def poll(self, timeout_s: float = 0.0) -> None:
        """Let time pass."""
        self.now_s += timeout_s

    def run(self, batches: int, keep: int = 10_000, interval_s: float = 1.0) -> Collected:
        """Collect so many batches."""
        clock = Clock(now_us=lambda: round(self.now_s * 1e6), monotonic_s=lambda: self.now_s)
        collector = Collector(
            Host("web-1", epoch=7),
            cast(ReadingsProducer, self),
            self.take,
            clock,
            interval_s=interval_s,
            max_waiting=keep,
            processes=0,
        )
        return collector.run(lambda: False, batches)


@pytest.mark.parametrize("slow_s", [0.0, 0.3, 0.9])
def test_samples_are_taken_on_a_schedule_that_does_not_drift(slow_s: float) -> None:
    bench = Bench(slow_s)
    collected = bench.run(20)

    began_s = 1000.0 + slow_s
    assert bench.taken_at[1:] == pytest.approx([began_s + n for n in range(1, 21)])
    assert collected.missed == 0


def test_samples_whose_time_has_passed_are_left_out_and_counted() -> None:
    bench = Bench(slow_s=1.5)
    collected = bench.run(4)

    assert bench.taken_at[1:] == pytest.approx([1002.5, 1004.5, 1006.5, 1008.5])
    assert collected.missed == 3


def test_all_readings_are_numbered_and_accounted_for() -> None:
    bench = Bench()
    collected = bench.run(5)

    assert sum(message.readings for message in bench.sent) == collected.readings == collected.delivered
    assert (collected.batches, collected.undelivered, collected.dropped) == (5, 0, 0)
    assert {message.key for message in bench.sent} == {b"host-web-1"}


def test_what_waited_is_delivered_when_kafka_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench(away=lambda now_s: now_s < 1010.0)
    collected = bench.run(15)

    assert collected.delivered == collected.readings
    assert collected.dropped == 0
    assert [record.message.split(" (")[0] for record in caplog.records] == [
        "Kafka is away",
        "Kafka is back; what was kept is delivered",
    ]


def test_what_does_not_fit_is_dropped_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(away=lambda _: True)
    collected = bench.run(100, keep=50)

    assert collected.delivered == 0
    assert collected.undelivered <= 50
    assert collected.dropped + collected.undelivered == collected.readings
    told = [record for record in caplog.records if "readings are lost" in record.message]
    assert 1 < len(told) < 12, "told at once, and again whenever it has doubled"


def test_a_host_names_its_series_and_what_they_belong_to() -> None:
    host = Host("web-1", epoch=7, site="north")
    parts = [Sample("", "system.uptime", "s", 1.0), Sample("cpu=0", "system.cpu.utilization", "1", 0.5)]

    first, second = host.batch(parts, 1), host.batch(parts[:1], 2)

    assert (first.readings, second.readings, host.sequence) == (2, 1, 3)
    for words in (b"web-1/cpu=0", b"system.cpu.utilization", b"north"):
        assert words in first.value
    assert b"web-1/cpu=0" not in second.value
