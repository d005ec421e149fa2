"""Processes beside a job: they end with it, and say why when they end by themselves."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs.companion import Companion
from streams.errors import UserError

UNTIL_TERMINATED = "import signal; print('here', flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {UNTIL_TERMINATED}"
UNTIL_STDIN_CLOSES = "import sys; print('here', flush=True); sys.stdin.read()"


def _started(code: str, log: Path) -> Companion:
    companion = Companion("helper", [sys.executable, "-c", code], log)
    while "here" not in log.read_text():
        companion.check()
        time.sleep(0.01)
    return companion


def test_a_companion_ends_when_it_is_told_to(tmp_path: Path) -> None:
    companion = _started(UNTIL_TERMINATED, tmp_path / "logs" / "helper.log")
    companion.check()

    assert companion.stop(10.0)
    assert not psutil.pid_exists(companion.pid)


def test_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    companion = _started(STUBBORN, tmp_path / "helper.log")

    assert not companion.stop(0.1)
    assert not psutil.pid_exists(companion.pid)


def test_one_that_ended_by_itself_says_why_and_where(tmp_path: Path) -> None:
    log = tmp_path / "helper.log"
    companion = Companion("helper", [sys.executable, "-c", "print('no luck'); exit(7)"], log)

    with pytest.raises(UserError, match="the helper ended with code 7: no luck") as caught:
        while True:
            companion.check()

    assert str(log) in caught.value.hint
    assert companion.stop(1.0)


def test_a_companion_does_not_outlive_a_job_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "helper.log"
    code = (
        "import os, pathlib, signal, sys, time\n"
        "from jobs.companion import Companion\n"
        f"log = pathlib.Path({str(log)!r})\n"
        f"helper = Companion('helper', [sys.executable, '-c', {UNTIL_STDIN_CLOSES!r}], log)\n"
        "while 'here' not in log.read_text(): time.sleep(0.01)\n"
        "print(helper.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    while _lives(int(killed.stdout)):
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
