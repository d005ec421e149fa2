"""The supervisor: what dies comes back, a signal reaches everyone, nothing outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.supervisor import BACKOFF_FIRST_S, BACKOFF_MOST_S, STEADY_AFTER_S, next_backoff_s

CHILD = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: (Path(sys.argv[1], f"term-{os.getpid()}").touch(), sys.exit(0)))
Path(sys.argv[1], f"pid-{os.getpid()}").touch()
sys.stdin.read()
Path(sys.argv[1], f"closed-{os.getpid()}").touch()
"""
PARENT = """
import sys
from streams.supervisor import Supervisor
sys.exit(Supervisor([sys.executable, "-c", sys.argv[1], sys.argv[2]], 2).run())
"""


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def pids(directory: Path, kind: str) -> set[int]:
    return {int(path.name.split("-")[1]) for path in directory.glob(f"{kind}-*")}


@pytest.fixture
def supervised(tmp_path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PARENT, CHILD, str(tmp_path)])


def test_a_dead_child_is_restarted_and_a_signal_ends_all(
    supervised: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    eventually(lambda: len(pids(tmp_path, "pid")) == 2)
    first = pids(tmp_path, "pid")
    os.kill(min(first), signal.SIGKILL)
    eventually(lambda: len(pids(tmp_path, "pid")) == 3)
    supervised.terminate()
    assert supervised.wait(30) == 0
    assert pids(tmp_path, "term") == pids(tmp_path, "pid") - {min(first)}


def test_no_child_outlives_a_killed_supervisor(supervised: subprocess.Popen[bytes], tmp_path: Path) -> None:
    eventually(lambda: len(pids(tmp_path, "pid")) == 2)
    supervised.kill()
    supervised.wait()
    eventually(lambda: pids(tmp_path, "closed") == pids(tmp_path, "pid"))


def test_back_off_doubles_to_its_bound_and_forgets_after_a_steady_life() -> None:
    waits = [0.0]
    for _ in range(12):
        waits.append(next_backoff_s(waits[-1], lived_s=1.0))
    assert waits[1] == BACKOFF_FIRST_S
    assert waits[-1] == BACKOFF_MOST_S
    assert waits == sorted(waits)
    assert next_backoff_s(BACKOFF_MOST_S, STEADY_AFTER_S) == BACKOFF_FIRST_S
