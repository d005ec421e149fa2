"""Which levels of rollups a database keeps: brought to what the settings ask for."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import errors

from sinks.timescale.migrate import MigrationError
from sinks.timescale.rollups import read_levels
from streams.core.levels import level_name

_SET = "SELECT set_rollup_levels(%s, %s)"


def levels_lacking(dsn: str, widths_us: Sequence[int]) -> str:
    """Return in words what levels a migrated database keeps instead of these; nothing where it keeps them.

    Raises ``psycopg.Error``.
    """
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute("SET search_path TO public")
        kept = [level.width_us for level in read_levels(session)]
    if kept == list(widths_us):
        return ""
    return f"the database keeps rollups of {_names(kept)}, and not of {_names(widths_us)}"


def apply_levels(dsn: str, widths_us: Sequence[int], dry_run: bool = False) -> str:
    """Have a migrated database keep these levels, and return in words what it kept instead.

    A new one is computed from what is stored, by the workers and bit by bit; one that has rows is not
    given up.
    Partitions are claimed again by who reads them. With ``dry_run`` nothing is changed. Raises
    :class:`~sinks.timescale.migrate.MigrationError`, ``psycopg.Error``.
    """
    lack = levels_lacking(dsn, widths_us)
    if lack and not dry_run:
        names = [level_name(width_us) for width_us in widths_us]
        try:
            with psycopg.connect(dsn, application_name="streamgauge migrate") as session:
                session.execute("SET search_path TO public; SET lock_timeout TO '10s'")
                session.execute(_SET, ([width_us // 1_000_000 for width_us in widths_us], names))
        except errors.RaiseException as refusal:
            said = refusal.diag.message_primary or str(refusal)
            raise MigrationError(said, hint=refusal.diag.message_hint or "") from refusal
        except errors.LockNotAvailable as error:
            raise MigrationError(
                "others hold rollups or their views for too long",
                hint="Levels were not changed. Wait until long queries have ended, then try again.",
            ) from error
    return lack


def _names(widths_us: Sequence[int]) -> str:
    return ", ".join(map(level_name, widths_us))
