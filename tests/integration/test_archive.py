"""What policies do not keep is archived, verified, dropped, and restored; nothing else is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import duckdb
import numpy as np
import psycopg
import pytest

from jobs.archive.chunks import Chunk, Connection
from jobs.archive.manifest import Choice, File, check_file, list_files
from jobs.archive.parquet import Names, Readings, write_readings
from jobs.archive.restore import Restored, restore
from jobs.archive.store import archive
from jobs.archive.target import ArchiveError, Target
from jobs.retention.policies import Policy, set_policy
from jobs.retention.run import Report, Watcher, open_session, plan, run
from sinks.timescale.refresh import refresh_some
from sinks.timescale.times import timestamp
from streams.core.levels import DAY_US
from streams.core.rollup import begin_us
from streams.settings import PROJECT_ROOT
from tests.documents import blocks
from tests.integration.rollups import START_US, History, misrolled

pytestmark = pytest.mark.stack

RETENTION = PROJECT_ROOT / "docs" / "retention.md"
DAYS = 4
BEGIN_US = begin_us(START_US, DAY_US)
STORE = "INSERT INTO readings (series_id, ts, value, quality) VALUES (%s, %s, 7, 0)"
NOW = timestamp(BEGIN_US + DAYS * DAY_US) + timedelta(hours=1)


@pytest.fixture
def history(writer: Connection, database: str) -> History:
    """Four days of three series, the last of them still open; some readings were late."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("TRUNCATE archive_files, series_retention, retention_policies, outbox")
        owner.execute("INSERT INTO retention_policies (raw_days, rollup_days) VALUES (2, 3)")
        owner.execute("UPDATE series SET metric = 'debug', tenant = 'other' WHERE series_id = 3")
    history = History(writer, seed=7)
    for day in range(DAYS):
        begins = BEGIN_US + day * DAY_US
        history.flush(history.points(300, begins, begins + DAY_US), begins + DAY_US)
    history.flush(history.points(40, BEGIN_US, BEGIN_US + DAYS * DAY_US), BEGIN_US + DAYS * DAY_US + 1)
    while refresh_some(writer):
        pass
    return history


@pytest.fixture
def owner(history: History, database: str) -> Iterator[Connection]:
    with open_session(database) as session:
        yield session


def stored(session: Connection) -> list[tuple[object, ...]]:
    return session.execute(
        "SELECT series_id, ts, value::text, quality, late FROM readings ORDER BY 1, 2"
    ).fetchall()


def of_days(rows: list[tuple[object, ...]], first: int, beyond: int) -> list[tuple[object, ...]]:
    begins, ends = timestamp(BEGIN_US + first * DAY_US), timestamp(BEGIN_US + beyond * DAY_US)
    return [row for row in rows if isinstance(row[1], datetime) and begins <= row[1] < ends]


def levels(session: Connection) -> list[tuple[object, ...]]:
    return [
        row
        for name in ("1m", "15m", "1h", "1d")
        for row in session.execute(
            f"SELECT '{name}', series_id, bucket, readings, sum, m2"
            f" FROM rollup_closed_{name} ORDER BY 2, 3".encode()
        )
    ]


def days_dropped(report: Report) -> list[str]:
    return [each.chunk for each in report.chunks if each.dropped]


def test_what_is_older_is_archived_and_dropped_and_all_else_stays(
    owner: Connection, database: str, tmp_path: Path
) -> None:
    before = stored(owner)
    target = Target(str(tmp_path))
    planned = plan(owner, NOW, archive_known=True)
    assert stored(owner) == before
    report = run(owner, target, NOW)
    assert (
        days_dropped(report)
        == [each.chunk for each in planned.chunks]
        == [f"{timestamp(BEGIN_US + day * DAY_US):%F}" for day in range(2)]
    )
    assert stored(owner) == of_days(before, 2, DAYS)
    files = list_files(owner, Choice())
    assert sum(file.readings for file in files) == len(of_days(before, 0, 2))
    assert {(file.tenant, f"{file.begins:%F}") for file in files} == {
        (tenant, day) for tenant in ("default", "other") for day in days_dropped(report)
    }
    assert misrolled(database) == {}
    assert report.not_given_up == planned.not_given_up == []
    assert run(owner, target, NOW).chunks == [], "the second run has nothing to do"
    assert len(list_files(owner, Choice())) == len(files)
    assert report.rollup_chunks["1m"] == 1, "of the day that is older than rollups are kept"


def test_restored_readings_are_what_they_were_each_once_and_stay_for_a_while(
    owner: Connection, database: str, tmp_path: Path
) -> None:
    before, target = stored(owner), Target(str(tmp_path))
    run(owner, target, NOW)
    rolled = levels(owner)
    files = list_files(owner, Choice())
    until = NOW + timedelta(days=7)
    assert sum(restore(owner, target, file, until).restored for file in files) == len(of_days(before, 0, 2))
    assert stored(owner) == before
    assert [restore(owner, target, file, until) for file in files] == [
        Restored(0, file.readings, 0) for file in files
    ]
    assert stored(owner) == before
    assert levels(owner) == rolled
    assert misrolled(database) == {}
    held = run(owner, target, NOW).chunks
    assert len(held) == 2 and all("restored from the archive until" in each.held for each in held)
    assert stored(owner) == before
    assert len(days_dropped(run(owner, target, until + timedelta(hours=1)))) >= 2
    assert len(list_files(owner, Choice(until=timestamp(BEGIN_US + 2 * DAY_US)))) == len(files)


def test_a_policy_for_some_metrics_deletes_their_readings_alone(
    owner: Connection, database: str, tmp_path: Path
) -> None:
    before, target = stored(owner), Target(str(tmp_path))
    set_policy(owner, Policy("*", "*", 30, None))
    set_policy(owner, Policy("oth*", "debug", 1, 2, archived=False))
    epochs = owner.execute("SELECT epoch FROM progress").fetchall()
    report = run(owner, target, NOW)
    assert stored(owner) == [row for row in before if row[0] != 3 or row in of_days(before, 3, DAYS)]
    assert [each.whole for each in report.chunks] == [False] * 3
    assert list_files(owner, Choice()) == []
    assert owner.execute("SELECT epoch - 1 FROM progress").fetchall() == epochs
    assert report.kept_from is not None and report.kept_from < timestamp(BEGIN_US)
    assert misrolled(database) == {}
    assert {row[0] for row in of_days([row[1:] for row in levels(owner)], 0, 2)} == {1, 2}
    assert run(owner, target, NOW).chunks == []
    assert owner.execute("SELECT epoch - 1 FROM progress").fetchall() == epochs, (
        "nobody claims again for nothing"
    )


def test_what_comes_for_a_day_that_is_given_up_changes_no_rollup(
    owner: Connection, writer: Connection, history: History, database: str, tmp_path: Path
) -> None:
    set_policy(owner, Policy("*", "*", 30, None))
    set_policy(owner, Policy("other", "*", 1, None))
    run(owner, Target(str(tmp_path)), NOW)
    rolled = levels(owner)
    owner.execute(
        "INSERT INTO dirty_buckets (series_id, bucket) VALUES (3, %s)", (timestamp(BEGIN_US + DAY_US),)
    )
    assert [done.given_up for done in refresh_some(writer)] == [1]
    assert levels(owner) == rolled
    assert misrolled(database) == {}


@pytest.mark.parametrize(
    ("because", "said"),
    [
        ("INSERT INTO dirty_buckets (series_id, bucket) VALUES (1, %s)", "wait to be computed"),
        ("UPDATE progress SET released_to = %s", "has come to"),
        ("UPDATE rollup_levels SET unmarked_before = %s WHERE name = '1m'", "are being computed"),
    ],
)
def test_a_day_that_a_worker_needs_is_held(
    because: str, said: str, owner: Connection, tmp_path: Path
) -> None:
    before = stored(owner)
    owner.execute(because.encode(), (timestamp(BEGIN_US + DAY_US + 60_000_000),))
    report = run(owner, Target(str(tmp_path)), NOW)
    owner.execute("UPDATE rollup_levels SET unmarked_before = NULL")
    assert any(said in hold.reason for hold in report.holds)
    assert any(said in reason for reason in report.not_given_up)
    assert stored(owner) == of_days(before, 0 if "level" in because else 1, DAYS)


def test_nothing_is_dropped_while_its_messages_wait(
    owner: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.retention.dropping.DELIVERY_S", 0.0)
    before = stored(owner)
    owner.execute("INSERT INTO outbox (event_id, topic, value) VALUES ('a', 'telemetry.rollups', '')")
    report = run(owner, Target(str(tmp_path)), NOW)
    assert all("1 messages wait in the outbox" in each.held for each in report.chunks)
    assert stored(owner) == before
    owner.execute("DELETE FROM outbox")
    assert len(days_dropped(run(owner, Target(str(tmp_path)), NOW))) == 2
    assert len(list_files(owner, Choice())) == 4, "what was archived before is not archived again"


def test_without_an_archive_nothing_is_dropped_that_is_to_be_archived(owner: Connection) -> None:
    before = stored(owner)
    report = run(owner, None, NOW)
    assert [each.held[:12] for each in report.chunks] == ["not archived"] * 2
    assert stored(owner) == before
    set_policy(owner, Policy("*", "*", 2, 3, archived=False))
    run(owner, None, NOW)
    assert stored(owner) == of_days(before, 2, DAYS)


def test_one_flipped_byte_is_found_and_nothing_is_dropped_for_it(owner: Connection, tmp_path: Path) -> None:
    before, target = stored(owner), Target(str(tmp_path))
    run(owner, target, NOW, drop=False)
    assert stored(owner) == before, "archive run drops nothing"
    file = list_files(owner, Choice())[0]
    path = tmp_path / file.path
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ArchiveError, match=r"is damaged: its SHA-256 is \w+, and was"):
        check_file(target, file)
    with pytest.raises(ArchiveError, match="is damaged"):
        restore(owner, target, file, NOW)
    report = run(owner, target, NOW)
    assert ["is damaged" in each.held for each in report.chunks] == [True, False]
    assert set(stored(owner)) == {*of_days(before, 0, 1), *of_days(before, 2, DAYS)}


def test_a_file_is_never_overwritten_not_even_one_that_nothing_notes(
    owner: Connection, writer: Connection, tmp_path: Path
) -> None:
    target = Target(str(tmp_path))
    run(owner, target, NOW)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    owner.execute("TRUNCATE archive_files")
    owner.execute(
        "INSERT INTO readings (series_id, ts, value, quality) VALUES (1, %s, 7, 0)", (timestamp(BEGIN_US),)
    )
    assert len(days_dropped(run(owner, target, NOW))) == 1
    assert len(list(tmp_path.rglob("*.parquet"))) == len(files) + 1
    assert all(path.read_bytes() == whole for path, whole in files.items())


@pytest.mark.parametrize("whole", [True, False])
def test_readings_that_no_file_has_are_held_though_their_series_is_archived(
    whole: bool, owner: Connection, tmp_path: Path
) -> None:
    target = Target(str(tmp_path))
    set_policy(owner, Policy("*", "*", 2 if whole else 30, None))
    set_policy(owner, Policy("other", "*", 2, None))
    run(owner, target, NOW, drop=False)
    owner.execute(
        "INSERT INTO readings (series_id, ts, value, quality) VALUES (3, %s, 7, 0)", (timestamp(BEGIN_US),)
    )
    before = stored(owner)
    report = run(owner, target, NOW)
    assert report.chunks[0].whole == whole
    assert "readings of series 3 are stored, and its archive has" in report.chunks[0].held
    assert of_days(stored(owner), 0, 1) == of_days(before, 0, 1)
    assert len(days_dropped(report)) == 1, "the others go on"


def test_readings_that_come_between_counting_and_dropping_are_held(
    owner: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def archive_and_store_more(
        session: Connection, target: Target, tenant: str, chunk: Chunk, counts: dict[int, int]
    ) -> File:
        file = archive(session, target, tenant, chunk, counts)
        session.execute(
            STORE,
            (min(counts), timestamp(chunk.begins_us)),
        )
        return file

    monkeypatch.setattr("jobs.retention.run.archive", archive_and_store_more)
    report = run(owner, Target(str(tmp_path)), NOW)
    assert ["are stored, and its archive has" in each.held for each in report.chunks] == [True, True]


class Leaving(Watcher):
    """Has a query end once the first chunk is done."""

    def __init__(self, query: Connection) -> None:
        self._query = query

    def step(self, chunk: str) -> None:
        self._query.rollback()


def test_a_table_that_is_in_use_is_asked_for_once_in_a_run(
    owner: Connection, database: str, tmp_path: Path
) -> None:
    before = stored(owner)
    with psycopg.connect(database) as query:
        query.execute("SELECT FROM readings LIMIT 1")
        report = run(owner, Target(str(tmp_path)), NOW, watcher=Leaving(query))
    said = "a query or a flush has used table readings for a second"
    assert [*(each.held for each in report.chunks), report.held] == [said] * 3
    assert stored(owner) == before
    assert len(days_dropped(run(owner, Target(str(tmp_path)), NOW))) == 2


def test_a_file_that_is_not_what_was_given_is_found_before_anything_is_dropped(
    owner: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_another(file: BinaryIO, tenant: str, parts: Iterable[Readings], names: Names) -> None:
        whole = np.concatenate(list(parts))
        whole["late"][0] ^= True
        write_readings(file, tenant, [whole], names)

    monkeypatch.setattr("jobs.archive.store.write_readings", write_another)
    before = stored(owner)
    with pytest.raises(ArchiveError, match="was read back, and is not what was written"):
        run(owner, Target(str(tmp_path)), NOW)
    assert stored(owner) == before
    assert list_files(owner, Choice()) == []


def test_readings_that_are_not_given_up_are_left_to_workers(owner: Connection, tmp_path: Path) -> None:
    target = Target(str(tmp_path))
    run(owner, target, NOW)
    owner.execute("UPDATE raw_retention SET kept_from = '-infinity'")
    before = stored(owner)
    for file in list_files(owner, Choice()):
        assert restore(owner, target, file, NOW) == Restored(0, 0, file.readings)
    assert stored(owner) == before


PATTERNS = [
    ("*", "*", 90),
    ("*", "temp*", 80),
    ("*", "temperature", 70),
    ("acme", "*", 60),
    ("acme", "temp*", 50),
    ("ac*", "temperature", 40),
    ("*", "100%_*", 30),
]
KEPT = [
    ("acme", "temperature", 50),
    ("acme", "rpm", 60),
    ("acorn", "temperature", 40),
    ("acorn", "temp", 80),
    ("other", "temperature", 70),
    ("other", "temper", 80),
    ("other", "rpm", 90),
    ("other", "100%_x", 30),
    ("other", "100 of x", 90),
]


def test_of_several_policies_that_fit_the_most_exact_counts(owner: Connection) -> None:
    for tenant, metric, days in PATTERNS:
        set_policy(owner, Policy(tenant, metric, days, None))
    for tenant, metric, _ in KEPT:
        owner.execute(
            "INSERT INTO series (tenant, source, metric) VALUES (%s, 'pump-9', %s)", (tenant, metric)
        )
    found = """
        SELECT p.tenant, p.metric, raw_days FROM series_policies AS p JOIN series USING (series_id)
        WHERE source = 'pump-9'
    """
    assert sorted(owner.execute(found)) == sorted(KEPT)


def test_what_takes_the_space_is_told_by_chunk_tenant_and_series(owner: Connection) -> None:
    for block in blocks(RETENTION, "sql"):
        for query in block.text.split(";")[:-1]:
            assert owner.execute(query.encode()).fetchall(), query
    rows = owner.execute("SELECT series_id, count(*) FROM readings GROUP BY 1 ORDER BY 1").fetchall()
    of_series = "SELECT series_id, readings FROM capacity_series ORDER BY 1"
    assert owner.execute(of_series).fetchall() == rows
    assert owner.execute(
        """
        SELECT (SELECT sum(bytes) FROM capacity_tenants) / sum(bytes) BETWEEN 0.999 AND 1.001,
               count(*) = (SELECT chunks FROM capacity_growth)
        FROM capacity_chunks
        """
    ).fetchall() == [(True, True)]


def test_the_database_reads_the_same_as_duckdb(owner: Connection, tmp_path: Path) -> None:
    before = of_days(stored(owner), 0, 2)
    run(owner, Target(str(tmp_path)), NOW)
    queries = blocks(RETENTION, "duckdb")
    assert queries
    with duckdb.connect() as duck:
        for block in queries:
            assert duck.execute(block.text.replace("/var/archive", str(tmp_path))).fetchall()
        found = duck.execute(f"SELECT count(*), sum(value) FROM '{tmp_path}/*/*/*.parquet'").fetchall()
    values = [float(str(row[2])) for row in before]
    assert found[0][0] == len(before)
    assert np.isnan(found[0][1]) == any(map(np.isnan, values))
