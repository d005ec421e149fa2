"""Policies of retention: which there are, and setting them."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import errors
from psycopg.rows import class_row

from jobs.archive.chunks import Connection
from streams.errors import UsageError, UserError

EVERYTHING = "*"

_LIST = """
    SELECT p.tenant, p.metric, p.raw_days, p.rollup_days, p.archived
    FROM retention_policies AS p ORDER BY p.tenant <> '*', p.tenant, p.metric <> '*', p.metric
"""
_SET = """
    INSERT INTO retention_policies (tenant, metric, raw_days, rollup_days, archived)
    VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (tenant, metric) DO UPDATE
    SET raw_days = excluded.raw_days, rollup_days = excluded.rollup_days, archived = excluded.archived
"""
_REMOVE = "DELETE FROM retention_policies WHERE tenant = %s AND metric = %s"


@dataclass(frozen=True, slots=True)
class Policy:
    """How long the readings, and the rollups, of some tenants and metrics are kept; None: for ever.

    ``archived``: readings are dropped only when an archive has them.
    """

    tenant: str = EVERYTHING
    metric: str = EVERYTHING
    raw_days: int | None = 90
    rollup_days: int | None = 1826
    archived: bool = True


def list_policies(session: Connection) -> list[Policy]:
    """Return all policies, that for everything first."""
    with session.cursor(row_factory=class_row(Policy)) as cursor:
        return cursor.execute(_LIST).fetchall()


def set_policy(session: Connection, policy: Policy) -> None:
    """Have a policy count from the next run on. Raises UsageError where it makes no sense."""
    row = (policy.tenant, policy.metric, policy.raw_days, policy.rollup_days, policy.archived)
    try:
        session.execute(_SET, row)
    except errors.CheckViolation as error:
        raise UsageError(
            "rollups are computed again while there are readings, so they are kept for as long at least",
            hint="Give --rollups a number that is not below --raw, or forever; a day is the least.",
        ) from error


def remove_policy(session: Connection, tenant: str, metric: str) -> None:
    """Have a policy count no longer. Raises UserError where there is none, or it is for everything."""
    if (tenant, metric) == (EVERYTHING, EVERYTHING):
        raise UsageError("the policy for everything stays", hint="Set it to forever instead.")
    if not session.execute(_REMOVE, (tenant, metric)).rowcount:
        raise UserError(f"there is no policy for {tenant} {metric}", hint="See: streamgauge retention show")
