"""Moments as integers here, and as PostgreSQL takes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from streams.core.batch import NEVER_US

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(time_us: int) -> datetime:
    """Return microseconds since 1970 as PostgreSQL takes them, exactly."""
    return EPOCH + timedelta(microseconds=time_us)


def timestamp_or_null(time_us: int) -> datetime | None:
    """Return microseconds since 1970, or None for before any event time."""
    return None if time_us == NEVER_US else timestamp(time_us)


def moment(time_us: int) -> datetime | str:
    """Return microseconds since 1970, or ``-infinity`` for before any event time."""
    return "-infinity" if time_us == NEVER_US else timestamp(time_us)


def or_never(time_us: int | None) -> int:
    """Return microseconds since 1970 as PostgreSQL told them: nothing is before any event time."""
    return NEVER_US if time_us is None else time_us
