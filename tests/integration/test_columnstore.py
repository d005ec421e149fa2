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
from jobs.retention.columnstore import is_community, keep_compressed
from jobs.retention.run import open_session, run
from sinks.timescale.refresh import refresh_some
from streams.core.levels import DAY_US
from tests.integration.rollups import History, misrolled
from tests.integration.test_archive import BEGIN_US, NOW, history, of_days, stored

pytestmark = pytest.mark.stack

__all__ = ["history"]


@pytest.fixture(autouse=True)
def _community(database: str) -> None:
    with psycopg.connect(database) as owner:
        if not is_community(owner):
            pytest.skip(
                "the columnstore is part of TimescaleDB's Community edition; this is the Apache edition"
            )


def test_the_policy_is_set_once_and_changed(database: str) -> None:
    with open_session(database) as owner:
        assert [keep_compressed(owner, days) for days in (7, 7, 9)] == [True, False, True]


def test_late_readings_into_compressed_chunks_are_exact_archived_and_restored(
    history: History, writer: Connection, database: str, tmp_path: Path
) -> None:
    with open_session(database) as owner:
        keep_compressed(owner, 7)
        for (chunk,) in owner.execute("SELECT show_chunks('readings')::text").fetchall():
            owner.execute("CALL convert_to_columnstore(%s::regclass)", (chunk,))
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
