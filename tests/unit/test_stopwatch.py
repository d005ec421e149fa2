"""Seconds are counted by stage, elapsed and of CPU."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from streams.core.batch import Messages
from streams.core.limits import Limits
from streams.core.pipeline import CHUNK_STAGES, Pipeline
from streams.stopwatch import Stopwatch
from tests.builders import BASE_US

ELAPSED, CPU = "streamgauge_stage_seconds_total", "streamgauge_stage_cpu_seconds_total"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def _value(registry: CollectorRegistry, name: str, stage: str) -> float:
    value = registry.get_sample_value(name, {"stage": stage})
    assert value is not None
    return value


def test_waiting_is_elapsed_time_and_no_cpu_time(registry: CollectorRegistry) -> None:
    with Stopwatch(registry)("copy"):
        time.sleep(0.05)

    assert _value(registry, ELAPSED, "copy") >= 0.05
    assert _value(registry, CPU, "copy") < 0.05


def test_a_stage_that_fails_is_counted_too(registry: CollectorRegistry) -> None:
    with pytest.raises(ZeroDivisionError), Stopwatch(registry)("copy"):
        raise ZeroDivisionError

    assert _value(registry, ELAPSED, "copy") > 0


def test_threads_add_up(registry: CollectorRegistry) -> None:
    timed = Stopwatch(registry)

    def add() -> None:
        for _ in range(1000):
            timed.add_cpu("fetch", 0.5)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert _value(registry, CPU, "fetch") == 2000.0


def test_the_stages_of_a_chunk_are_measured_one_by_one(registry: CollectorRegistry) -> None:
    value = b'{"source":"pump-1","metric":"rpm","time":%d,"value":1450}' % BASE_US
    messages = Messages([value], [None], np.array([7]), np.array([BASE_US // 1000]))
    Pipeline(Limits(), timed=Stopwatch(registry))(messages)

    assert all(_value(registry, ELAPSED, stage) > 0 for stage in CHUNK_STAGES)
