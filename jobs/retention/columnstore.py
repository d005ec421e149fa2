"""Compression in the Community edition of TimescaleDB: the columnstore and its policy.

Source: https://docs.timescale.com/api/latest/hypercore/
"""

from __future__ import annotations

import logging
from datetime import timedelta

from psycopg import errors

from jobs.archive.chunks import Connection
from jobs.retention.dropping import LOCK_WAIT

log = logging.getLogger(__name__)

COMMUNITY = "timescale"

_EDITION = "SELECT current_setting('timescaledb.license', true)"
# A series' readings lie together and in order of time, which is how they are asked for, and corrected.
ENABLE = """
    ALTER TABLE readings SET (
        timescaledb.enable_columnstore = true,
        timescaledb.segmentby = 'series_id',
        timescaledb.orderby = 'ts'
    )
"""
_ENABLED = (
    "SELECT compression_enabled FROM timescaledb_information.hypertables WHERE hypertable_name = 'readings'"
)
_AFTER = """
    SELECT (config ->> 'compress_after')::interval FROM timescaledb_information.jobs
    WHERE hypertable_name = 'readings' AND proc_name IN ('policy_compression', 'policy_columnstore')
"""
_REMOVE = "CALL remove_columnstore_policy('readings', if_exists => true)"
_ADD = "CALL add_columnstore_policy('readings', after => %s::interval)"


def is_community(session: Connection) -> bool:
    """Tell whether the server is of the edition that compresses."""
    ((edition,),) = session.execute(_EDITION).fetchall()
    return bool(edition == COMMUNITY)


def keep_compressed(session: Connection, after_days: int) -> bool:
    """Have the server compress chunks that are older; return whether something changed.

    Where the edition does not compress nothing is done. While others use the table it is left to the next
    run, with a warning. Raises ``psycopg.Error``.
    """
    if not is_community(session):
        return False
    after = timedelta(days=after_days)
    ((enabled,),) = session.execute(_ENABLED).fetchall()
    known = [row[0] for row in session.execute(_AFTER)]
    if enabled and known == [after]:
        return False
    try:
        with session.transaction():
            # All flushes wait behind who waits for this table.
            session.execute(f"SET LOCAL lock_timeout TO '{LOCK_WAIT}'")
            if not enabled:
                session.execute(ENABLE)
            session.execute(_REMOVE)
            session.execute(_ADD, (after,))
    except errors.LockNotAvailable:
        log.warning(
            "compression stays as it is: a query or a flush uses table readings for longer than %s; "
            "the next run of retention tries again",
            LOCK_WAIT,
        )
        return False
    return True
