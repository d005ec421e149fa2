"""A job that is asked to end ends in good order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.stopping import Stop, ignore_interrupts, sigterm_interrupts, starter_is_gone


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_remembered_and_does_not_interrupt(number: signal.Signals) -> None:
    with Stop() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
        assert stop.signal == number


def test_a_second_ctrl_c_ends_at_once() -> None:
    with Stop():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_what_was_before_is_restored() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Stop():
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) != before

    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_pipe_whose_other_end_is_closed_means_that_the_starter_is_gone() -> None:
    reading, writing = os.pipe()
    try:
        assert not starter_is_gone(reading)
        os.write(writing, b"still here")
        assert not starter_is_gone(reading)
        os.close(writing)
        assert starter_is_gone(reading)
    finally:
        os.close(reading)


def test_an_input_that_is_no_pipe_says_nothing_about_the_starter() -> None:
    with Path(os.devnull).open() as nothing:
        assert not starter_is_gone(nothing.fileno())
    assert not starter_is_gone(-1)


def test_sigterm_can_interrupt_as_ctrl_c_does() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with sigterm_interrupts(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)

    assert signal.getsignal(signal.SIGTERM) == before


def test_what_is_short_is_not_cut_off() -> None:
    before = signal.getsignal(signal.SIGINT)
    with sigterm_interrupts():
        ignore_interrupts()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) == before


def test_a_caught_interrupt_of_compiled_text_does_not_kill_the_process() -> None:
    text = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    program = f"""
from contextlib import suppress
from jobs.stopping import sigterm_interrupts

with sigterm_interrupts(), suppress(KeyboardInterrupt):
    exec({text!r})
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_an_interrupt_within_a_finalizer_is_raised_after_it() -> None:
    class Interrupted:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    with sigterm_interrupts(), pytest.raises(KeyboardInterrupt):
        Interrupted()
        signal.pause()
