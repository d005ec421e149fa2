"""Kafka, TimescaleDB and Redis for one checkout: ``up()`` starts them, ``down()`` stops them."""

from infra.stack.errors import StackError
from infra.stack.lifecycle import down, up

__all__ = ["StackError", "down", "up"]
