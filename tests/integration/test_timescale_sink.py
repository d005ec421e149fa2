"""What happens to a flush when the database, the wire or a former owner fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sinks.judging import JudgedPart
from sinks.protocols import Fenced, Flush, Part, Partition, Progress, SinkUnavailable, Written
from sinks.timescale import transaction
from sinks.timescale.history import DatabaseHistory
from sinks.timescale.migrate import MigrationError, migrate, shipped
from sinks.timescale.session import Connection, connect, session_name, translated
from sinks.timescale.sink import Bounds, TimescaleSink
from sinks.timescale.transaction import MAX_FORWARDED_BYTES
from streams.core.rejection import WHOLE_RECORD, Reason, Rejection
from streams.core.series import SeriesKey, SeriesTable
from streams.settings import Settings
from tests.builders import BASE_US, P0, P1, columns, flush_of, series_table
from tests.databases import as_writer, empty_database
from tests.relay import Relay
from tests.waiting import eventually

pytestmark = pytest.mark.stack

DAY_US = 86_400_000_000
LETTER = Rejection.of(0, WHOLE_RECORD, Reason.EMPTY, "no value", b"")


class Database:
    """A migrated database, and what a test sees and does in it as its owner."""

    def __init__(self, owner_dsn: str, writer_dsn: str) -> None:
        self.writer_dsn = writer_dsn
        self.owner = psycopg.connect(owner_dsn, autocommit=True)

    def count(self, table: str) -> int:
        row = self.owner.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert row is not None
        return int(row[0])

    def end_session_of(self, owner: str) -> None:
        """End the worker's session as an administrator would."""
        ended = self.owner.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            (session_name(owner),),
        ).fetchall()
        assert ended == [(True,)]


@pytest.fixture
def db(database: str) -> Iterator[Database]:
    opened = Database(database, as_writer(database))
    opened.owner.execute(
        "TRUNCATE readings, series, tenants, progress, dead_letters, producers, producer_journal, outbox, "
        "reading_versions, dirty_buckets, late_readings"
    )
    yield opened
    opened.owner.close()


@contextmanager
def sink_of(dsn: str, owner: str, max_series_per_tenant: int = 1000) -> Iterator[TimescaleSink]:
    sink = TimescaleSink(dsn, owner, Bounds(max_series_per_tenant))
    yield sink
    sink.close()


@pytest.fixture
def sink(db: Database) -> Iterator[TimescaleSink]:
    with sink_of(db.writer_dsn, "a") as made:
        yield made


def one_flush(epoch: int = 1, base: int = 0, day: int = 0) -> Flush:
    """Return three readings and a dead letter of ``[base, base + 4)``."""
    times = [BASE_US + day * DAY_US + base + row for row in range(3)]
    part = Part(P0, epoch, base, base + 4, [columns([0, 1, 0], time_us=times)], [LETTER])
    return flush_of(series_table("rpm", "load"), part)


def write_until_it_succeeds(sink: TimescaleSink, flush: Flush) -> Written:
    """Write as the agent does: again, from memory, while nothing is stored."""
    (part,) = flush.parts
    for _ in range(10):
        try:
            return sink.write(flush)
        except SinkUnavailable:
            stored = sink.progress([part.partition])[part.partition]
            assert (stored.epoch, stored.next_offset) == (part.epoch, part.base)
    pytest.fail("the flush never succeeded")


def test_every_reading_and_every_refusal_is_counted_in_progress(db: Database) -> None:
    with sink_of(db.writer_dsn, "a", max_series_per_tenant=1) as sink:
        sink.claim(P0, "a", 0)
        assert sink.write(one_flush()) == Written(2, 2)
        assert sink.write(one_flush(base=4)) == Written(2, 2)
    counted = db.owner.execute("SELECT next_offset, written, dead_letters FROM pipeline_progress").fetchall()
    assert counted == [(8, 4, 4)]
    assert (db.count("readings"), db.count("dead_letters")) == (4, 4)


def test_a_flush_whose_session_ended_before_it_leaves_nothing_and_succeeds_again(
    db: Database, sink: TimescaleSink
) -> None:
    sink.claim(P0, "a", 0)
    db.end_session_of("a")
    with pytest.raises(SinkUnavailable):
        sink.write(one_flush())
    assert db.count("readings") == 0
    assert sink.progress([P0]) == {P0: Progress(1, 0, "a")}
    assert sink.write(one_flush()) == Written(3, 1)
    assert (db.count("readings"), db.count("dead_letters")) == (3, 1)


def test_a_backend_that_dies_while_it_commits_leaves_nothing(db: Database, sink: TimescaleSink) -> None:
    sink.claim(P0, "a", 0)
    db.owner.execute(
        """
        CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        GRANT EXECUTE ON FUNCTION die TO streamgauge_writer;
        CREATE CONSTRAINT TRIGGER dies_at_commit AFTER UPDATE ON progress
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die();
        """
    )
    try:
        with pytest.raises(SinkUnavailable):
            sink.write(one_flush())
    finally:
        db.owner.execute("DROP FUNCTION die CASCADE")
    assert (db.count("readings"), db.count("dead_letters")) == (0, 0)
    assert sink.progress([P0]) == {P0: Progress(1, 0, "a")}
    sink.write(one_flush())
    assert db.count("readings") == 3


def test_a_commit_whose_answer_is_lost_is_settled_by_progress(db: Database) -> None:
    target = conninfo_to_dict(db.writer_dsn)
    with Relay(str(target["host"]), int(str(target["port"]))) as relay:
        dsn = make_conninfo(db.writer_dsn, host="127.0.0.1", port=relay.port, sslmode="disable")
        with sink_of(dsn, "a") as sink:
            sink.claim(P0, "a", 0)
            relay.cut_instead_of_reply_to(b"COMMIT")
            with pytest.raises(SinkUnavailable):
                sink.write(one_flush())
            with pytest.raises(SinkUnavailable):
                sink.progress([P0])
            relay.mend()
            assert sink.progress([P0]) == {P0: Progress(1, 4, "a")}
            with pytest.raises(Fenced):
                sink.write(one_flush())
    assert (db.count("readings"), db.count("dead_letters")) == (3, 1)


def test_a_database_that_is_not_there_is_unavailable(db: Database) -> None:
    with Relay("127.0.0.1", 1) as relay:
        relay.cut()
        dsn = make_conninfo(db.writer_dsn, port=relay.port)
    with sink_of(dsn, "a") as sink, pytest.raises(SinkUnavailable, match="is it running"):
        sink.claim(P0, "a", 0)


def test_a_database_that_is_not_migrated_says_so() -> None:
    with (
        empty_database() as dsn,
        sink_of(dsn, "a") as sink,
        pytest.raises(SinkUnavailable, match="streamgauge migrate"),
    ):
        sink.claim(P0, "a", 0)


def test_series_that_a_crash_took_away_are_registered_again(db: Database, sink: TimescaleSink) -> None:
    sink.claim(P0, "a", 0)
    flush = one_flush()
    sink.write(flush)
    db.owner.execute("TRUNCATE series, tenants RESTART IDENTITY")
    db.end_session_of("a")
    following = Flush([Part(P0, 1, 4, 5, [columns([1])])], flush.series)
    with pytest.raises(SinkUnavailable):
        sink.write(following)
    sink.write(following)
    assert db.owner.execute("SELECT metric FROM readings JOIN series USING (series_id)").fetchall() == [
        ("load",)
    ]


def test_a_defect_is_no_outage(db: Database, sink: TimescaleSink) -> None:
    sink.claim(P0, "a", 0)
    beyond = columns([0], time_us=[2**63 - 1])
    with pytest.raises(psycopg.DataError):
        sink.write(flush_of(series_table("rpm"), Part(P0, 1, 0, 1, [beyond])))
    assert sink.write(one_flush()) == Written(3, 1)
    assert db.count("readings") == 3


def test_a_table_that_went_between_its_look_up_and_its_use_is_unavailable(db: Database) -> None:
    with pytest.raises(psycopg.errors.InternalError_, match="could not open relation") as gone:
        db.owner.execute("SELECT pg_sequence_last_value(%s::oid)", (4_294_000_000,))
    meaning = translated(gone.value)
    assert isinstance(meaning, SinkUnavailable)
    assert "a chunk was dropped meanwhile" in str(meaning)


def test_a_flush_waits_for_a_lock_no_longer_than_its_bound(db: Database, sink: TimescaleSink) -> None:
    sink.claim(P0, "a", 0)
    with db.owner.transaction():
        db.owner.execute("LOCK TABLE readings IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SinkUnavailable, match="long transactions"):
            sink.write(one_flush())
    assert sink.write(one_flush()) == Written(3, 1)


STOPPED = """
import os, signal, sys
from sinks.timescale.session import connect
from sinks.timescale.sink import Bounds, TimescaleSink
from sinks.protocols import Partition
dsn, where = sys.argv[1:]
TimescaleSink(dsn, "former").claim(Partition("readings", 0), "former", 0)
session = connect(dsn, "former")
session.execute("BEGIN")
if where == "inside COPY":
    into = "COPY readings (ts, value, series_id, quality) FROM STDIN"
    with session.cursor() as cursor, cursor.copy(into) as copy:
        # More than libpq and the kernel hold back, so that the server has begun to create the chunk.
        copy.write("2025-10-09 08:53:20+00\\t1.5\\t1\\t0\\n" * 200_000)
        os.kill(os.getpid(), signal.SIGSTOP)
else:
    counts = "3, 1, 0, 0, 0, 0, 0"
    where = "NULL, 0, NULL, NULL"
    session.execute(f"SELECT advance_progress('readings', 0, 1, 0, 4, '-infinity', {where}, {counts})")
    os.kill(os.getpid(), signal.SIGSTOP)
session.execute("COMMIT")
"""


@contextmanager
def stopped_worker(dsn: str, where: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker that claims partition 0 and is stopped with its transaction open."""
    child = subprocess.Popen([sys.executable, "-c", STOPPED, dsn, where], stderr=subprocess.PIPE)
    try:
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("where", ["inside COPY", "after the compare-and-swap"])
def test_a_stopped_worker_does_not_keep_its_successor_out(db: Database, where: str) -> None:
    with stopped_worker(db.writer_dsn, where) as former, sink_of(db.writer_dsn, "successor") as successor:
        assert successor.claim(P0, "successor", 0) == Progress(2, 0, "successor")
        assert write_until_it_succeeds(successor, one_flush(epoch=2)) == Written(3, 1)
        former.send_signal(signal.SIGCONT)
        _, complaint = former.communicate(timeout=60)
    assert former.returncode == 1
    assert b"terminating connection" in complaint
    assert (db.count("readings"), db.count("dead_letters")) == (3, 1)


def test_a_claim_ends_what_the_former_owner_has_had_open_for_long(db: Database) -> None:
    open_for_long = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
        " AND datname = current_database() AND xact_start < clock_timestamp() - INTERVAL '3 seconds'"
    )
    with stopped_worker(db.writer_dsn, "inside COPY"), sink_of(db.writer_dsn, "successor") as successor:
        successor.claim(P1, "successor", 0)
        while db.owner.execute(open_for_long, (session_name("former"),)).fetchone() == (0,):
            time.sleep(0.05)
        successor.claim(P0, "successor", 0)
        assert db.owner.execute(open_for_long, (session_name("former"),)).fetchone() == (0,)


def test_a_claim_leaves_a_busy_former_owner_its_other_partitions(db: Database, sink: TimescaleSink) -> None:
    sink.claim(P0, "a", 0)
    sink.claim(P1, "a", 0)
    with sink_of(db.writer_dsn, "b") as other:
        other.claim(P0, "b", 0)
        flush = flush_of(series_table("rpm"), Part(P1, 1, 0, 1, [columns([0])]))
        assert sink.write(flush) == Written(1, 0)


def test_two_workers_register_the_same_series_at_once(db: Database) -> None:
    """Each series gets one number and one home, no number is wasted, and nobody deadlocks."""
    rounds, names = 5, [f"m{number}" for number in range(200)]
    with sink_of(db.writer_dsn, "a") as one, sink_of(db.writer_dsn, "b") as other:
        one.claim(P0, "a", 0)
        other.claim(P1, "b", 0)
        together(
            lambda: [one.write(flush) for flush in flushes_of(P0.number, rounds, names)],
            lambda: [other.write(flush) for flush in flushes_of(P1.number, rounds, names[::-1])],
        )
    assert db.count("series") == rounds * len(names)
    assert db.count("readings") == rounds * len(names)
    assert sum_of(db, "forwarded") == rounds * len(names)
    assert db.owner.execute("SELECT max(series_id) - min(series_id) + 1 FROM series").fetchone() == (
        rounds * len(names),
    )
    assert db.owner.execute("SELECT * FROM tenants").fetchall() == [("default", rounds * len(names))]


def sum_of(db: Database, column: str) -> int:
    row = db.owner.execute(f"SELECT sum({column}) FROM progress".encode()).fetchone()
    assert row is not None
    return int(row[0])


def together(*works: Callable[[], list[Written]]) -> list[Written]:
    """Run ``works`` at the same time and return all that they return."""
    begin = threading.Barrier(len(works))

    def run(work: Callable[[], list[Written]]) -> list[Written]:
        begin.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [written for results in pool.map(run, works) for written in results]


def flushes_of(partition: int, rounds: int, names: list[str]) -> list[Flush]:
    """Return flushes that each bring new series, said differently by each partition."""
    result = []
    for number in range(rounds):
        said = (("seen", str(partition)),)
        table = series_table(*(SeriesKey("default", f"pump-{number}", name, said) for name in names))
        part = Part([P0, P1][partition], 1, number, number + 1, [columns(range(len(names)))])
        result.append(flush_of(table, part))
    return result


def test_two_workers_together_stay_within_the_limit_of_series(db: Database) -> None:
    names = [[f"{worker}{number}" for number in range(40)] for worker in "ab"]
    with sink_of(db.writer_dsn, "a", 50) as one, sink_of(db.writer_dsn, "b", 50) as other:
        one.claim(P0, "a", 0)
        other.claim(P1, "b", 0)
        results = together(
            lambda: [one.write(flush) for flush in one_by_one(P0.number, names[0])],
            lambda: [other.write(flush) for flush in one_by_one(P1.number, names[1])],
        )
    assert db.count("series") == 50
    assert sum(written.readings for written in results) == 50
    assert sum(written.dead_letters for written in results) == 30


def one_by_one(partition: int, names: list[str]) -> list[Flush]:
    """Return flushes of one new series each."""
    table, result = SeriesTable(), []
    for number, name in enumerate(names):
        series = table.intern(SeriesKey("default", "pump-1", name))
        part = Part([P0, P1][partition], 1, number, number + 1, [columns([series])])
        result.append(flush_of(table, part))
    return result


def test_a_series_from_before_homes_is_adopted_with_all_its_readings(db: Database) -> None:
    table = series_table("rpm")
    with sink_of(db.writer_dsn, "before") as before:
        before.claim(P0, "before", 0)
        before.write(flush_of(table, Part(P0, 1, 0, 1, [columns([0, 0, 0])])))
    db.owner.execute("UPDATE series SET home_topic = NULL, home_partition = NULL")
    with sink_of(db.writer_dsn, "after") as after:
        after.claim(P1, "after", 0)
        repeat = flush_of(table, Part(P1, 1, 0, 1, [columns([0, 0, 0])]))
        assert after.write(repeat) == Written(duplicates=3)
    assert db.count("readings") == 3


def test_numbers_go_on_after_an_operator_set_the_stored_offset_back(db: Database) -> None:
    table = series_table("rpm")

    def numbered(epoch: int, base: int) -> Flush:
        rows = columns([0], producer=[1], epoch=[1], sequence=[base], time_us=[BASE_US + base])
        return Flush([Part(P0, epoch, base, base + 1, [rows])], table, ["", "gw-1"])

    with sink_of(db.writer_dsn, "a") as sink:
        sink.claim(P0, "a", 0)
        for base in range(3):
            sink.write(numbered(1, base))
    db.owner.execute("UPDATE progress SET next_offset = 0")
    with sink_of(db.writer_dsn, "b") as sink:
        sink.claim(P0, "b", 0)
        assert [sink.write(numbered(2, base)) for base in range(3)] == [Written(duplicates=1)] * 3
    assert db.count("readings") == 3


def test_forwarded_readings_with_long_names_are_split_into_batches_that_fit(db: Database) -> None:
    said = tuple((f"attribute-{number:02d}", "x" * 200) for number in range(30))
    table = series_table(*(SeriesKey("default", "pump", f"metric-{number}", said) for number in range(50)))
    with sink_of(db.writer_dsn, "a") as sink:
        sink.claim(P0, "a", 0)
        sink.claim(P1, "a", 0)
        sink.write(flush_of(table, Part(P0, 1, 0, 1, [columns(range(50))])))
        later = columns(range(50), time_us=[BASE_US + 10**6] * 50)
        assert sink.write(flush_of(table, Part(P1, 1, 0, 1, [later]))) == Written(forwarded=50)
    sizes = [size for (size,) in db.owner.execute("SELECT length(value) FROM outbox")]
    assert len(sizes) > 1
    assert max(sizes) <= MAX_FORWARDED_BYTES


def test_a_schema_that_is_not_the_programs_is_met_before_anything_is_stored(
    stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ships = shipped()
    with empty_database() as dsn:
        monkeypatch.setattr("sinks.timescale.migrate.shipped", lambda: ships[:-1])
        migrate(dsn)
        monkeypatch.setattr("sinks.timescale.migrate.shipped", lambda: ships)
        with sink_of(as_writer(dsn), "a") as sink:
            with pytest.raises(SinkUnavailable, match=f"lacks {ships[-1].name}: run `streamgauge migrate`"):
                sink.progress([P0])
            migrate(dsn)
            assert sink.progress([P0]) == {}
        monkeypatch.setattr("sinks.timescale.migrate.shipped", lambda: ships[:-1])
        with (
            sink_of(as_writer(dsn), "b") as sink,
            pytest.raises(MigrationError, match=f"newer than this program: it has {ships[-1].name}"),
        ):
            sink.progress([P0])


def test_a_commit_whose_answer_was_lost_tells_what_it_stored(db: Database, sink: TimescaleSink) -> None:
    sink.claim(P0, "a", 0)

    def lose(session: object, *_: object) -> None:
        raise psycopg.OperationalError("the connection is lost")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sinks.timescale.transaction.advance_and_commit", lose)
        with pytest.raises(SinkUnavailable) as lost:
            sink.write(one_flush())
    assert lost.value.sent == {P0: Written(3, 1)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sinks.timescale.transaction.ReadingsCopy.send", lose)
        with pytest.raises(SinkUnavailable) as before:
            sink.write(one_flush())
    assert before.value.sent == {}, "nobody asked for a commit"


def test_what_is_not_released_is_read_back_as_it_was_stored(db: Database, sink: TimescaleSink) -> None:
    sink.claim(P0, "a", 0)
    kept = columns([0, 1, 0], time_us=[BASE_US + 5, BASE_US + 3, BASE_US + 4], value=[0.1, -0.0, 1e300])
    kept.quality[:] = [0, 1, 2]
    sink.write(flush_of(series_table("rpm", "load"), Part(P0, 1, 0, 3, [kept])))
    with connect(db.writer_dsn, "b") as session:
        history = DatabaseHistory(lambda: session, P0)
        points = history.unreleased(BASE_US + 3, BASE_US + 6, 10)
        first = history.unreleased(BASE_US + 3, BASE_US + 6, 1)
        none = history.unreleased(BASE_US + 6, BASE_US + 9, 10)
    assert points.time_us.tolist() == [BASE_US + 3, BASE_US + 4, BASE_US + 5]
    assert [str(value) for value in points.value] == ["-0.0", "1e+300", "0.1"]
    assert points.quality.tolist() == [1, 2, 0]
    assert points.series_id[1] == points.series_id[2] != points.series_id[0]
    assert (first.time_us.tolist(), len(none.time_us)) == ([BASE_US + 3], 0)


def beside(readings: int = 20) -> Flush:
    """Return a flush of two partitions, each with readings of its own series and a dead letter."""
    times = [BASE_US + row for row in range(readings)]
    parts = [
        Part(partition, 1, 0, readings, [columns([number] * readings, time_us=times)], [LETTER])
        for number, partition in enumerate((P0, P1))
    ]
    return flush_of(series_table("rpm", "load"), *parts)


@pytest.fixture
def broad(db: Database) -> Iterator[TimescaleSink]:
    """A sink that stores every flush of several partitions over two connections."""
    sink = TimescaleSink(db.writer_dsn, "a", Bounds(1000, parallel_rows=1))
    sink.claim(P0, "a", 0)
    sink.claim(P1, "a", 0)
    yield sink
    sink.close()


def test_a_large_flush_is_stored_over_two_connections(db: Database, broad: TimescaleSink) -> None:
    assert broad.write(beside()) == Written(40, 2)
    assert db.count("readings") == 40
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    assert db.owner.execute(sessions, (session_name("a"),)).fetchall() == [(2,)]
    broad.close()
    eventually(
        lambda: db.owner.execute(sessions, (session_name("a"),)).fetchall() == [(0,)], "both to be closed"
    )


@pytest.mark.parametrize("lost", [P0, P1])
def test_what_one_of_two_connections_did_not_store_is_stored_again_alone(
    db: Database, broad: TimescaleSink, lost: Partition
) -> None:
    flush, (kept,) = beside(), {P0, P1} - {lost}
    commit = transaction.advance_and_commit

    def lose(session: Connection, parts: Sequence[JudgedPart], kept_from_us: int) -> None:
        if parts[0].part.partition == lost:
            session.close()
        commit(session, parts, kept_from_us)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sinks.timescale.transaction.advance_and_commit", lose)
        with pytest.raises(SinkUnavailable) as failed:
            broad.write(flush)
    assert failed.value.sent == {P0: Written(20, 1), P1: Written(20, 1)}
    stored = broad.progress([P0, P1])
    assert {partition: stored[partition].next_offset for partition in (kept, lost)} == {kept: 20, lost: 0}
    again = replace(flush, parts=[part for part in flush.parts if part.partition == lost])
    assert broad.write(again) == Written(20, 1)
    assert (db.count("readings"), db.count("dead_letters")) == (40, 2)


def test_without_a_second_connection_the_first_has_to_do(
    db: Database, broad: TimescaleSink, caplog: pytest.LogCaptureFixture
) -> None:
    broad.progress([P0])
    attempts: list[object] = []

    def refuse(*arguments: object) -> None:
        attempts.append(arguments)
        raise psycopg.errors.TooManyConnections("sorry")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sinks.timescale.sink.connect", refuse)
        assert broad.write(beside()) == Written(40, 2)
        again = [replace(part, base=part.next, next=part.next + 20) for part in beside().parts]
        assert broad.write(replace(beside(), parts=again)) == Written(dead_letters=2, duplicates=40)
    assert len(attempts) == 1
    assert "one connection, which takes longer: sorry" in caplog.text


def test_a_first_connection_that_ended_before_the_second_began_is_noticed(
    db: Database, broad: TimescaleSink
) -> None:
    broad.progress([P0])
    db.end_session_of("a")
    with pytest.raises(SinkUnavailable):
        broad.write(beside())
    assert db.count("readings") == 0
    assert broad.write(beside()) == Written(40, 2)


def test_of_two_failures_the_defect_is_told(db: Database, broad: TimescaleSink) -> None:
    def fail(session: Connection, parts: Sequence[JudgedPart], kept_from_us: int) -> None:
        if parts[0].part.partition == P1:
            raise ValueError("a defect")
        session.close()
        session.execute("SELECT")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sinks.timescale.transaction.advance_and_commit", fail)
        with pytest.raises(ValueError, match="a defect"):
            broad.write(beside())
