"""``streamgauge demo``: from nothing to this machine's telemetry, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable

import psutil
import pytest

from streams.settings import Settings, state_dir
from tests.databases import as_reader
from tests.integration.ingest import Ingest
from tests.integration.records import PROGRAM, environment
from tests.waiting import eventually

pytestmark = pytest.mark.stack

MakeIngest = Callable[..., Ingest]
WORKER_LOG = "demo-worker.log"


def _demo(ingest: Ingest) -> subprocess.Popen[str]:
    """Start a demo on the stack that runs, with a topic and a database of its own."""
    settings = {"database_url": ingest.dsn, "reader_url": as_reader(ingest.dsn), "group": ingest.topic}
    settings["redis_url"] = ingest.settings.redis_url.get_secret_value()
    return subprocess.Popen(
        [*PROGRAM, "demo"],
        env=environment(ingest.topic, kafka=ingest.settings.kafka, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _children(program: subprocess.Popen[str], words: str) -> list[psutil.Process]:
    try:
        found = psutil.Process(program.pid).children(recursive=True)
        return [child for child in found if words in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def _serving(stack: Settings) -> bool:
    host, port = stack.kafka.split(",")[0].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=5):
        return True


def test_without_a_terminal_ten_samples_are_printed_and_nothing_is_left(
    stack: Settings, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(8)
    program = _demo(ingest)
    output, told = program.communicate(timeout=120)

    assert program.returncode == 0, told
    lines = output.splitlines()
    assert len(lines) == 10
    cpu = re.compile(rf"{socket.gethostname()} cpu\.utilization [\d.]+%")
    assert all(cpu.search(line) for line in lines)
    assert "workers 1" in lines[-1]
    assert "stopped the collector\n  stopped the worker" in told
    assert ingest.one("SELECT count(*) FROM readings") > 0
    assert _serving(stack), "a stack that ran before is left alone"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_what_was_started(
    stack: Settings, make_ingest: MakeIngest, number: signal.Signals
) -> None:
    program = _demo(make_ingest(8))
    eventually(lambda: bool(_children(program, "jobs.cli collect")), "the collector")
    started = _children(program, "streams.worker") + _children(program, "jobs.cli collect")

    os.kill(program.pid, number)
    _, told = program.communicate(timeout=60)

    assert program.returncode == 0, told
    assert not any(process.is_running() for process in started)
    assert "stopped the worker" in told
    assert "Traceback" not in told
    assert _serving(stack)


def test_a_worker_that_dies_is_told_with_its_log(make_ingest: MakeIngest) -> None:
    program = _demo(make_ingest(8))
    eventually(lambda: bool(_children(program, "jobs.cli collect")), "the collector")

    for worker in _children(program, "streams.worker"):
        worker.kill()
    _, told = program.communicate(timeout=60)

    assert program.returncode == 1
    assert "error: the worker ended with code -9" in told
    assert str(state_dir() / "logs" / WORKER_LOG) in told
    assert "stopped the collector" in told
    assert "Traceback" not in told
