"""Kafka, TimescaleDB and Redis for one checkout: :func:`up` starts them, :func:`down` stops them."""

from infra.stack.backend import Status
from infra.stack.errors import StackError
from infra.stack.lifecycle import Stack, down, up

__all__ = ["Stack", "StackError", "Status", "down", "up"]
