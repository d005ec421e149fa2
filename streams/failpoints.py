"""Named points of a worker at which a test ends it, stops it, or makes it wait.

They are off unless the environment says otherwise, and then cost one look into an empty dictionary.
``STREAMGAUGE_FAILPOINT=after_copy:kill:3`` is a ``kill -9`` of the worker by itself when it comes
there for the third time. Several stand with commas between them.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from dataclasses import dataclass
from enum import StrEnum

from streams.errors import UsageError

log = logging.getLogger(__name__)

VARIABLE = "STREAMGAUGE_FAILPOINT"

_SPEC = re.compile(r"(?P<point>\w+):(?P<action>\w+)(?:=(?P<seconds>[\d.]+))?(?::(?P<nth>[1-9]\d*))?")


class Point(StrEnum):
    """Where a worker can be made to fail."""

    BEFORE_FLUSH = "before_flush"  # the flush is collected, and nothing of it judged
    BEFORE_COPY = "before_copy"  # its transaction is open and empty
    AFTER_COPY = "after_copy"
    BEFORE_SWAP = "before_swap"  # all is written but the compare-and-swap of progress
    BEFORE_COMMIT = "before_commit"  # between the two, which are one message where this point is off
    AFTER_COMMIT = "after_commit"
    BEFORE_TELL = "before_tell"  # the offsets that are stored are about to be told to Kafka
    DURING_CLAIM = "during_claim"  # the epoch is raised, the partition's state not loaded yet
    DURING_REBALANCE = "during_rebalance"  # partitions are given up, and none is assigned yet
    BEFORE_MARK = "before_mark"  # Kafka has messages of the outbox, which are not deleted yet


class Action(StrEnum):
    """What happens there."""

    KILL = "kill"
    STOP = "stop"
    SLEEP = "sleep"
    SAY = "say"


@dataclass(slots=True)
class Failpoint:
    """An action at a point: the ``left``-th time from now, or every time where that is None."""

    point: Point
    action: Action
    seconds: float
    left: int | None

    def reached(self) -> None:
        """Act, if it is time."""
        if self.left is not None:
            self.left -= 1
            if self.left != 0:
                return
        log.warning("Failpoint %s: %s", self.point, self.action)
        match self.action:
            case Action.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case Action.STOP:
                # To this very thread: sent to the process, another one may take it, and this one go on.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            case Action.SLEEP:
                time.sleep(self.seconds)
            case Action.SAY:
                pass


def parse(text: str) -> dict[Point, Failpoint]:
    """Return the failpoints that ``text`` switches on. Raises :class:`~streams.errors.UsageError`.

    >>> parse("after_copy:kill:3, before_mark:sleep=0.5")[Point.BEFORE_MARK].seconds
    0.5
    >>> parse("")
    {}
    """
    found = (_failpoint(spec.strip()) for spec in text.split(",") if spec.strip())
    return {failpoint.point: failpoint for failpoint in found}


def _failpoint(spec: str) -> Failpoint:
    match = _SPEC.fullmatch(spec)
    try:
        if match is None:
            raise ValueError(spec)
        return Failpoint(
            Point(match["point"]),
            Action(match["action"]),
            float(match["seconds"] or 0.0),
            None if match["nth"] is None else int(match["nth"]),
        )
    except ValueError as error:
        raise UsageError(
            f"{VARIABLE}: {spec!r} is not POINT:ACTION[=SECONDS][:NTH]",
            hint=f"Points: {', '.join(Point)}. Actions: {', '.join(Action)}.",
        ) from error


_active: dict[Point, Failpoint] = {}


def switch_on() -> None:
    """Switch on what the environment names. Raises :class:`~streams.errors.UsageError`."""
    _active.update(parse(os.environ.get(VARIABLE, "")))


def is_on(point: Point) -> bool:
    """Tell whether anything happens at ``point``."""
    return point in _active


def reach(point: Point) -> None:
    """Say that the worker is at ``point``."""
    if failpoint := _active.get(point):
        failpoint.reached()
