"""Everything at once on one machine: the stack, a worker, the host collector."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from infra.stack import Stack
from jobs.companion import Companion
from jobs.stopping import ignore_interrupts
from jobs.topics import TopicAdmin, plan, wanted_topics
from sinks.redis.status import RedisStatusBoard
from sinks.timescale.levels import apply_levels
from sinks.timescale.migrate import migrate
from streams.errors import UserError
from streams.settings import Settings, state_dir

WORKER = (sys.executable, "-m", "streams.worker")
COLLECTOR = (sys.executable, "-m", "jobs.cli", "collect")

STOP_WITHIN_S = 12.0
WORKER_READY_S = 15.0
FIRST_READING_S = 60.0
_LOOK_EVERY_S = 0.2


@contextmanager
def running(console: Console, *, keep: bool) -> Iterator[list[Companion]]:
    """Set up and start what is missing; at the end stop what was started here, and say so.

    The stack stays up where it was up before, and with ``keep``. Raises
    :class:`~streams.errors.UserError` when something cannot be had.
    """
    with ExitStack() as undo:
        try:
            stack = Stack(console)
            if not keep and not any(service.state == "serving" for service in stack.status()):
                undo.callback(stack.down)
            stack.up()
            settings = Settings()
            _say(console, "database", _migrated(settings))
            _say(console, "topics", _applied(settings))
            worker = _started(undo, console, "worker", WORKER)
            # First the worker, so that no reading waits for it and latencies are those of a running one.
            _wait(lambda: _holds_partitions(settings), [worker], WORKER_READY_S)
            yield [worker, _started(undo, console, "collector", COLLECTOR)]
        finally:
            ignore_interrupts()


def wait_for_readings(companions: list[Companion], arrived: Callable[[], bool]) -> None:
    """Return once ``arrived()``.

    Raises :class:`~streams.errors.UserError` when a companion ended, or nothing arrived in time.
    """
    if not _wait(arrived, companions, FIRST_READING_S):
        logs = " and ".join(str(companion.log) for companion in companions)
        raise UserError(f"no reading was stored within {FIRST_READING_S:.0f} s", hint=f"See {logs}")


def check(companions: list[Companion]) -> None:
    """Raise :class:`~streams.errors.UserError` when one of them has ended by itself."""
    for companion in companions:
        companion.check()


def _started(undo: ExitStack, console: Console, name: str, command: Sequence[str]) -> Companion:
    companion = Companion(name, command, state_dir() / "logs" / f"demo-{name}.log")
    undo.callback(_stop, console, companion)
    _say(console, name, f"started, log {_relative(companion.log)}")
    return companion


def _wait(until: Callable[[], bool], companions: list[Companion], within_s: float) -> bool:
    deadline_s = time.monotonic() + within_s
    while not until():
        check(companions)
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def _holds_partitions(settings: Settings) -> bool:
    board = RedisStatusBoard(settings.redis_url.get_secret_value())
    try:
        return any(
            status.get("partitions") for status in board.read() if status.get("group") == settings.group
        )
    finally:
        board.close()


def _migrated(settings: Settings) -> str:
    applied = migrate(settings.owner_dsn)
    apply_levels(settings.owner_dsn, settings.rollup_widths_us)
    return f"{len(applied)} migrations applied" if applied else "up to date"


def _applied(settings: Settings) -> str:
    topics, admin = wanted_topics(settings), TopicAdmin(settings.kafka)
    changes = plan(topics, admin.find([topic.name for topic in topics]))
    admin.apply(changes, topics)
    return f"{len(changes)} differences" if changes else "as declared"


def _stop(console: Console, companion: Companion) -> None:
    well = companion.stop(STOP_WITHIN_S)
    console.print(f"  stopped the {companion.name}" + ("" if well else " by force"), highlight=False)


def _say(console: Console, what: str, told: str) -> None:
    console.print(f"[green]✓[/] {what:<12} {told}", highlight=False)


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
