"""The verbs ``retention`` and ``archive`` as a user calls them, kills in a run, and a full archive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.archive.chunks import Connection
from jobs.archive.manifest import Choice, list_files
from jobs.archive.restore import restore
from jobs.archive.target import Target
from jobs.cli.main import app
from jobs.retention.policies import Policy, set_policy
from jobs.retention.run import open_session, run
from sinks.timescale.times import timestamp
from streams.core.levels import DAY_US
from streams.errors import UserError
from tests.integration.rollups import History, misrolled
from tests.integration.test_archive import BEGIN_US, NOW, history, levels, of_days, stored

pytestmark = pytest.mark.stack

__all__ = ["history"]

# Ends itself, as a power cut would, where a function is called for the n-th time: before it, or after it.
KILLED = """
import importlib, os, signal, sys
from datetime import datetime
place, name, when, nth, dsn, archive, now = sys.argv[1:]
module = importlib.import_module(place)
true, left = getattr(module, name), int(nth)
def dying(*given, **named):
    global left
    left -= 1
    if left == 0 and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = true(*given, **named)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(module, name, dying)
from jobs.archive.target import Target
from jobs.retention.run import open_session, run
with open_session(dsn) as session:
    run(session, Target(archive), datetime.fromisoformat(now))
"""
PLACES = [
    ("jobs.archive.store", "write_readings", "after", 1),
    ("jobs.archive.store", "add_file", "after", 2),
    ("jobs.retention.dropping", "timestamp", "after", 4),  # between two bits of rows that are deleted
    ("jobs.retention.run", "drop_chunk", "after", 1),
]


def streamgauge(dsn: str, archive: Path | str, *words: str, expect: int = 0) -> str:
    """Run a verb here, which is quicker; return what it prints."""
    environment = {"COLUMNS": "160", "STREAMGAUGE_DATABASE_URL": dsn, "STREAMGAUGE_ARCHIVE_URL": str(archive)}
    done = CliRunner().invoke(app, words, env=environment)
    assert done.exit_code == expect, (done.output, done.exception)
    return done.output if not isinstance(done.exception, UserError) else str(done.exception)


def kept_or_archived(session: Connection, target: Target) -> set[object]:
    """Return the readings that are stored, or in a file that is noted, or both."""
    seen = set(stored(session))
    with session.transaction(force_rollback=True):
        for file in list_files(session, Choice()):
            restore(session, target, file, NOW)
        return seen | set(stored(session))


def test_a_run_may_be_killed_anywhere(history: History, database: str, tmp_path: Path) -> None:
    target = Target(str(tmp_path))
    with open_session(database) as owner:
        set_policy(owner, Policy("other", "*", 1, 3))
        before = stored(owner)
    for place in PLACES:
        child = subprocess.run(
            [sys.executable, "-c", KILLED, *map(str, place), database, str(tmp_path), NOW.isoformat()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert child.returncode == -signal.SIGKILL, (place, child.stderr)
        with open_session(database) as owner:
            assert kept_or_archived(owner, target) == set(before), place
    with open_session(database) as owner:
        run(owner, target, NOW)
        left = [row for row in before if row in of_days(before, 3 if row[0] == 3 else 2, 4)]
        assert stored(owner) == left
        assert misrolled(database) == {}
        files = list_files(owner, Choice())
        assert sum(file.readings for file in files) == len(before) - len(left)
        for file in files:
            restore(owner, target, file, NOW)
        assert stored(owner) == before
    assert not list(tmp_path.rglob("*.unfinished"))


def test_the_verbs_archive_drop_verify_and_restore(history: History, database: str, tmp_path: Path) -> None:
    with open_session(database) as owner:
        before, rolled = stored(owner), levels(owner)
    assert "2 days" in streamgauge(database, tmp_path, "retention", "show")
    streamgauge(database, tmp_path, "retention", "set", "--raw", "2", "--rollups", "forever")
    assert json.loads(streamgauge(database, tmp_path, "retention", "show", "--json"))["policies"] == [
        {"tenant": "*", "metric": "*", "raw_days": 2, "rollup_days": None, "archived": True}
    ]
    refused = streamgauge(database, "", "retention", "set", "--raw", "9", "--rollups", "8", expect=1)
    assert "rollups are computed again while there are readings" in refused
    assert "name an archive_url" in streamgauge(database, "", "retention", "run", "--dry-run", expect=1)
    with open_session(database) as owner:
        owner.execute("UPDATE progress SET released_to = %s", (timestamp(BEGIN_US),))
    for dry in (["--dry-run"], []):
        stuck = streamgauge(database, tmp_path, "retention", "run", *dry, expect=1)
        assert "held, though policies keep less: readings/0 has come to" in stuck
    with open_session(database) as owner:
        assert stored(owner) == before
        owner.execute("UPDATE progress SET released_to = %s", (timestamp(BEGIN_US + 4 * DAY_US),))
    assert json.loads(streamgauge(database, tmp_path, "archive", "run", "--json"))["chunks"][0]["archived"]
    assert "files are as they were written" in streamgauge(database, tmp_path, "archive", "verify")
    report = json.loads(streamgauge(database, tmp_path, "retention", "run", "--json"))
    dropped = sum(each["dropped"] for each in report["chunks"])
    files = json.loads(streamgauge(database, tmp_path, "archive", "list", "--json"))
    assert dropped == sum(file["readings"] for file in files) > 0
    assert {(file["tenant"], file["series"]) for file in files} == {("default", 2), ("other", 1)}
    assert all("series_ids" not in file for file in files), "of which there may be very many"
    with open_session(database) as owner:
        assert len(stored(owner)) == len(before) - dropped
        assert levels(owner) == rolled
    assert "archive has no such" in streamgauge(
        database, tmp_path, "archive", "restore", "--from", "2001-01-01", "--to", "2001-01-02", expect=1
    )
    restored = streamgauge(database, tmp_path, "archive", "restore", "--all")
    assert restored.startswith(f"{dropped:,} readings of {len(files)} files, kept until ")
    with open_session(database) as owner:
        assert stored(owner) == before
        assert all(held.restored_until for held in list_files(owner, Choice()))
    assert "restored from the archive" in streamgauge(database, tmp_path, "retention", "run", expect=1)
    released = json.loads(streamgauge(database, tmp_path, "archive", "release", "--all", "--json"))
    assert released == {"released": len(files)}
    streamgauge(database, tmp_path, "retention", "run")
    with open_session(database) as owner:
        assert len(stored(owner)) == len(before) - dropped

    path = tmp_path / files[0]["path"]
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    wrong = streamgauge(database, tmp_path, "archive", "verify", expect=1)
    assert f"{path} is damaged" in wrong and f"{len(files) - 1} of {len(files)} files" in wrong
    assert "is damaged" in streamgauge(database, tmp_path, "archive", "restore", "--all", expect=1)


FULL = """
import resource, sys
from jobs.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sys.argv = ["streamgauge", "retention", "run"]
main()
"""


def test_a_full_or_absent_archive_is_said_and_nothing_is_lost(
    history: History, database: str, tmp_path: Path
) -> None:
    with open_session(database) as owner:
        before = stored(owner)
    environment = {"STREAMGAUGE_DATABASE_URL": database, "STREAMGAUGE_ARCHIVE_URL": str(tmp_path)}
    full = subprocess.run(
        [sys.executable, "-c", FULL],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert full.returncode == 1, full.stderr
    assert "the archive is full" in full.stderr and "Nothing was dropped" in full.stderr
    (tmp_path / "file").write_text("")
    absent = streamgauge(database, tmp_path / "file" / "archive", "retention", "run", expect=1)
    assert "cannot be written" in absent
    with open_session(database) as owner:
        assert stored(owner) == before
        assert list_files(owner, Choice()) == []
    assert not list(tmp_path.rglob("*.unfinished"))
