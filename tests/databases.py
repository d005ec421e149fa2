"""Databases of their own for tests, made beside the one of the stack and dropped afterwards."""

from __future__ import annotations

from contextlib import AbstractContextManager

from jobs import scratch
from jobs.scratch import as_reader as as_reader
from jobs.scratch import as_writer as as_writer


def empty_database() -> AbstractContextManager[str]:
    """Yield the connection string, as the owner, of a new database."""
    return scratch.empty_database("test")
