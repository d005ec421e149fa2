"""A job that is asked to end ends in good order."""

from __future__ import annotations

import os
import signal

import pytest

from jobs.stopping import Stop


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
