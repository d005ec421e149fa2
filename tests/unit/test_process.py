"""A service is the process that holds its lock: no file, crash or recycled pid says otherwise."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.stack.errors import StackError
from infra.stack.process import ServiceProcess

PATIENCE_S = 30.0
GENTLY = (signal.SIGTERM, signal.SIGKILL)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServiceProcess]:
    process = ServiceProcess(tmp_path / "service.pid")
    yield process
    process.stop([signal.SIGKILL], PATIENCE_S)


def start(process: ServiceProcess, *argv: str) -> Path:
    log = process.lock_file.with_suffix(".log")
    process.start(argv, log, process.lock_file.parent)
    return log


def wait_for(text: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while text not in log.read_text():
        assert time.monotonic() < deadline, f"{text!r} never came"
        time.sleep(0.01)


def test_nothing_runs_before_it_was_started(process: ServiceProcess) -> None:
    assert not process.running()
    assert process.pid() is None


def test_what_was_started_is_known_by_its_own_pid(process: ServiceProcess) -> None:
    log = start(process, "sh", "-c", "echo I am $$; exec sleep 60")
    wait_for("I am", log)
    assert process.running()
    assert log.read_text().split()[-1] == str(process.pid())


def test_it_outlives_the_terminal_of_whoever_started_it(process: ServiceProcess) -> None:
    start(process, "sleep", "60")
    pid = process.pid()
    assert pid is not None
    assert os.getsid(pid) == pid


def test_stopping_ends_it_and_stopping_again_is_harmless(process: ServiceProcess) -> None:
    start(process, "sleep", "60")
    process.stop(GENTLY, PATIENCE_S)
    assert not process.running()
    process.stop(GENTLY, PATIENCE_S)


def test_one_that_ignores_the_gentle_signal_gets_the_next(process: ServiceProcess) -> None:
    log = start(process, "sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.05; done")
    wait_for("deaf", log)
    process.stop(GENTLY, 0.5)
    assert not process.running()


def test_one_that_ends_by_itself_no_longer_runs(process: ServiceProcess) -> None:
    start(process, "true")
    assert process.ends_within(PATIENCE_S)
    assert process.pid() is None


def test_a_child_that_outlives_it_counts_as_running_and_is_stopped(process: ServiceProcess) -> None:
    # A shell gives what it starts in the background no standard input, unless told which one.
    log = start(process, "sh", "-c", "exec 3<&0; sh -c 'echo child $$; exec sleep 60' <&3 & wait")
    wait_for("child", log)
    os.kill(process.pid() or 0, signal.SIGKILL)
    while process.pid() is not None:
        time.sleep(0.01)
    assert process.running()
    process.stop(GENTLY, PATIENCE_S)
    assert not process.running()


def test_the_pid_of_another_process_in_the_file_is_not_believed(process: ServiceProcess) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        process.lock_file.write_text(f"{bystander.pid}\n")
        assert process.pid() is None
        process.stop([signal.SIGKILL], PATIENCE_S)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_second_start_is_refused_while_the_first_runs(process: ServiceProcess) -> None:
    start(process, "sleep", "60")
    with pytest.raises(BlockingIOError):
        start(process, "sleep", "60")


def test_one_that_no_signal_ends_is_reported(process: ServiceProcess) -> None:
    start(process, "sleep", "60")
    with pytest.raises(StackError, match="does not end"):
        process.stop([signal.SIGCONT], 0.1)


def test_a_port_is_its_own_only_if_it_listens_there_itself(process: ServiceProcess) -> None:
    listen = "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
    log = start(process, sys.executable, "-c", f"import socket, time; {listen}; time.sleep(60)")
    wait_for("\n", log)
    assert process.listens_on(int(log.read_text()))
    with socket.create_server(("127.0.0.1", 0)) as another:
        assert not process.listens_on(another.getsockname()[1])
