"""Bring the stack of this checkout up and down."""

from __future__ import annotations

from rich.console import Console

from infra.stack.kafka import Kafka
from infra.stack.native import start_all, stop_all
from infra.stack.progress import Progress
from infra.stack.redis import Redis
from infra.stack.service import Service
from infra.stack.state import State
from infra.stack.timescaledb import TimescaleDb
from streams.settings import state_dir


def services(state: State) -> list[Service]:
    """Return the services of the native stack."""
    return [TimescaleDb(state), Redis(state), Kafka(state)]


def up(console: Console | None = None) -> dict[str, str]:
    """Start what does not run, wait until it serves, and return the addresses."""
    console = console or Console(stderr=True)
    state = State(state_dir())
    with state.lock(lambda: console.print("another command works on this stack; waiting for it")):
        env = start_all(services(state), state, Progress(console))
        state.publish("native", env)
        return env


def down(console: Console | None = None) -> None:
    """Stop what runs; the data stays."""
    console = console or Console(stderr=True)
    state = State(state_dir())
    with state.lock(lambda: console.print("another command works on this stack; waiting for it")):
        stop_all(services(state), state, Progress(console))
        state.publish(None, {})
