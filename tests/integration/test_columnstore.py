"""Compression, which only the Community edition of TimescaleDB has."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from jobs.archive.chunks import Connection
from jobs.archive.manifest import Choice, list_files
from jobs.archive.restore import restore
from jobs.archive.target import Target
from jobs.retention.columnstore import ENABLE, is_community, keep_compressed
from jobs.retention.run import open_session, run
from sinks.timescale.refresh import refresh_some
from streams.core.levels import DAY_US
from tests.integration.rollups import History, misrolled
from tests.integration.test_archive import BEGIN_US, NOW, history, of_days, stored

pytestmark = pytest.mark.stack

__all__ = ["history"]

LIMIT = "timescaledb.max_tuples_decompressed_per_dml_transaction"


@pytest.fixture(autouse=True)
def _community(database: str) -> None:
    with psycopg.connect(database) as owner:
        if not is_community(owner):
            pytest.skip(
                "the columnstore is part of TimescaleDB's Community edition; this is the Apache edition"
            )


def compress(owner: Connection) -> None:
    """Compress all chunks here and now: the policy would do it while the test looks."""
    owner.execute(ENABLE)
    for (chunk,) in owner.execute("SELECT show_chunks('readings')::text").fetchall():
        owner.execute("CALL convert_to_columnstore(%s::regclass)", (chunk,))


def test_late_readings_into_compressed_chunks_are_exact_archived_and_restored(
    history: History, writer: Connection, database: str, tmp_path: Path
) -> None:
    with open_session(database) as owner:
        compress(owner)
        history.flush(history.points(200, BEGIN_US, BEGIN_US + 4 * DAY_US), BEGIN_US + 4 * DAY_US + 2)
        while refresh_some(writer):
            pass
        assert misrolled(database) == {}
        before, target = stored(owner), Target(str(tmp_path))
        run(owner, target, NOW)
        assert stored(owner) == of_days(before, 2, 4)
        for file in list_files(owner, Choice()):
            restore(owner, target, file, NOW + timedelta(days=1))
        assert stored(owner) == before
        assert misrolled(database) == {}


def test_more_is_deleted_than_the_server_decompresses_by_itself(history: History, database: str) -> None:
    with open_session(database) as owner:
        compress(owner)
        name = owner.info.dbname
        owner.execute(f'ALTER DATABASE "{name}" SET {LIMIT} TO 1'.encode())
    try:
        with open_session(database) as owner:
            assert owner.execute("DELETE FROM readings WHERE value = 7.5").rowcount > 1
            assert owner.execute("SELECT count(*) FROM readings WHERE value = 7.5").fetchone() == (0,)
    finally:
        with psycopg.connect(database, autocommit=True) as session:
            session.execute(f'ALTER DATABASE "{name}" RESET {LIMIT}'.encode())


def test_the_policy_is_set_once_and_changed(database: str) -> None:
    with open_session(database) as owner:
        assert [keep_compressed(owner, days) for days in (7, 7, 9)] == [True, False, True]
