"""Derived metrics: computed of closed buckets, told once as readings, corrected by what comes late."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any, LiteralString

import numpy as np
import psycopg
import pytest
from confluent_kafka import Producer

from jobs import derived
from jobs.verify.log import Log
from jobs.verify.verify import verify
from schemas.encode import encode_reading
from sinks.timescale import derived as sinks_derived
from sinks.timescale.derived import Deriver, mark_inputs
from sinks.timescale.derived_results import Computed, Definition, compute, read_definitions
from sinks.timescale.rollups import Level
from sinks.timescale.session import Connection, connect
from streams.core.aggregate import aggregate
from streams.core.batch import Messages, Points
from streams.core.decode import Decoder
from streams.core.levels import MINUTE_US
from streams.core.limits import Limits
from streams.core.rollup import begin_us
from streams.core.series import SeriesTable
from streams.errors import UserError
from streams.worker import pipeline_of
from tests.databases import as_writer
from tests.integration.ingest import Ingest, MakeIngest
from tests.waiting import eventually

pytestmark = pytest.mark.stack

START_US = begin_us(1_790_000_000_000_000, 60 * MINUTE_US)
FORGET: LiteralString = """
    TRUNCATE derived_metrics, derived_results, derived_marks, derived_homes, placements, series, readings,
             outbox, progress, rollup_closed_15m RESTART IDENTITY;
    UPDATE raw_retention SET kept_from = '-infinity';
"""
FILL: LiteralString = """
    INSERT INTO progress (topic, partition, epoch, next_offset, owner, session, released_to)
    VALUES ('readings', 0, 1, 0, 'me', 'me', '2026-01-01 01:00Z'),
           ('readings', 1, 1, 0, 'me', 'me', '2026-01-01 01:00Z');
    INSERT INTO series (tenant, source, metric, attributes, home_topic, home_partition)
    SELECT 'default', 'pump-' || n, metric,
           jsonb_build_object('site', CASE n WHEN 3 THEN 'south' ELSE 'north' END), 'readings', n / 3
    FROM generate_series(1, 3) AS n, unnest('{power,rated}'::text[]) AS metric;
"""
CLOSE: LiteralString = """
    INSERT INTO rollup_closed_15m (bucket, readings, bad, sum, min, max, first, first_at, last, last_at,
                                   m2, increase, integral, series_id)
    SELECT timestamptz '2026-01-01Z' + %s * INTERVAL '1 min', 2, 0, 2 * %s::float8, 0, 0, 0, now(),
           0, now(), 0, 0, 0, series_id
    FROM series WHERE source = %s AND metric = %s
"""


@pytest.fixture
def owner(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as session:
        session.execute(FORGET)
        session.execute(FILL)
        session.execute("SET timezone TO 'UTC'")
        yield session
        session.execute(FORGET)


@pytest.fixture
def worker(owner: psycopg.Connection[Any], database: str) -> Iterator[Connection]:
    with connect(as_writer(database), "rollups/me") as session:
        yield session


def close(owner: psycopg.Connection[Any], minute: int, **means: float | None) -> None:
    """Close buckets of a minute: ``power_1`` is the mean power of pump-1."""
    for name, mean in means.items():
        metric, number = name.split("_")
        if mean is not None:
            owner.execute(CLOSE, (minute, mean, f"pump-{number}", metric))


def revise(owner: psycopg.Connection[Any], worker: Connection, minute: int, **means: float) -> None:
    """Have a refresher compute buckets of a minute again."""
    for name, mean in means.items():
        metric, number = name.split("_")
        ((series_id,),) = owner.execute(
            "DELETE FROM rollup_closed_15m WHERE bucket = timestamptz '2026-01-01Z' + %s * INTERVAL '1 min'"
            " AND series_id = (SELECT series_id FROM series WHERE source = %s AND metric = %s)"
            " RETURNING series_id",
            (minute, f"pump-{number}", metric),
        ).fetchall()
        owner.execute(CLOSE, (minute, mean, f"pump-{number}", metric))
        at_us = 1_767_225_600_000_000 + minute * MINUTE_US
        points = Points(np.array([series_id], np.int32), np.array([at_us]), np.ones(1), np.zeros(1, np.int16))
        mark_inputs(worker, Level.of(15 * MINUTE_US), aggregate(points, 15 * MINUTE_US))


def define(worker: Connection, metric: str = "load", **changed: Any) -> derived.Tried:
    wanted = derived.Wanted(
        "default", metric, "mean(power) / mean(rated)", "15m", "source", (), "1", "-infinity"
    )
    dry_run = changed.pop("dry_run", False)
    password = {"password": worker.info.password} if worker.info.password else {}
    dsn = psycopg.conninfo.make_conninfo(worker.info.dsn, **password)
    return derived.define(dsn, wanted._replace(**changed), dry_run=dry_run)


def derive(worker: Connection, deriver: Deriver | None = None) -> None:
    """Compute until nothing is left."""
    deriver = deriver or Deriver("readings")
    while deriver.derive_some(worker):
        pass


Told = tuple[str, int, float | None, int]


def told(owner: psycopg.Connection[Any]) -> list[Told]:
    """Take what is in the outbox: source, minute, value (None: taken back) and revision of each reading."""
    values = [value for (value,) in owner.execute("DELETE FROM outbox RETURNING value").fetchall()]
    decoder = Decoder(Limits(), SeriesTable())
    columns = decoder.decode(
        Messages(values, [None] * len(values), np.arange(len(values)), np.zeros(len(values), np.int64))
    ).columns
    return sorted(
        (
            decoder.series.keys[series].source,
            (time_us - 1_767_225_600_000_000) // MINUTE_US,
            None if quality == 2 else value,
            revision,
        )
        for series, time_us, value, quality, revision in zip(
            *(each.tolist() for each in (columns.series, columns.time_us, columns.value, columns.quality)),
            columns.revision.tolist(),
            strict=True,
        )
    )


def counts(owner: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return owner.execute(
        "SELECT results, missing, to_char(missing_at, 'HH24:MI'), undefined,"
        " to_char(undefined_at, 'HH24:MI'), corrected, waiting FROM derived_state"
    ).fetchall()


def test_closed_buckets_are_told_once_and_what_has_no_result_is_counted(
    owner: psycopg.Connection[Any], worker: Connection
) -> None:
    close(owner, 0, power_1=6.0, rated_1=8.0, power_2=5.0, rated_2=0.0, power_3=1.0, rated_3=2.0)
    close(owner, 15, power_1=4.0, power_2=3.0, rated_2=6.0, rated_3=2.0)
    owner.execute(
        "INSERT INTO series (tenant, source, metric, home_topic, home_partition)"
        " VALUES ('default', 'meter-4', 'power', 'readings', 0)"
    )
    owner.execute(CLOSE, (0, 7.0, "meter-4", "power"))  # which is rated nowhere, and lacks nothing
    define(worker)
    derive(worker)

    assert told(owner) == [("pump-1", 0, 0.75, 0), ("pump-2", 15, 0.5, 0), ("pump-3", 0, 0.5, 0)]
    assert counts(owner) == [(3, 2, "00:15", 1, "00:00", 0, 0)]

    derive(worker)
    assert told(owner) == []


def test_what_is_late_corrects_takes_back_and_comes_again(
    owner: psycopg.Connection[Any], worker: Connection
) -> None:
    close(owner, 0, power_1=6.0, rated_1=8.0, power_2=5.0)
    define(worker)
    deriver = Deriver("readings")
    derive(worker, deriver)
    assert told(owner) == [("pump-1", 0, 0.75, 0)]

    revise(owner, worker, 0, power_1=2.0)
    derive(worker, deriver)
    assert told(owner) == [("pump-1", 0, 0.25, 1)]
    revise(owner, worker, 0, rated_1=0.0)
    derive(worker, deriver)
    assert told(owner) == [("pump-1", 0, None, 2)]
    revise(owner, worker, 0, rated_1=4.0)
    close(owner, 0, rated_2=10.0)
    derive(worker, deriver)
    assert told(owner) == [("pump-1", 0, 0.5, 3), ("pump-2", 0, 0.5, 0)]


def test_a_slow_partition_is_waited_for_and_a_stopped_one_is_taken_in_when_it_goes_on(
    owner: psycopg.Connection[Any], worker: Connection
) -> None:
    define(worker, per="tenant", expression="sum(power)")
    close(owner, 30, power_1=3.0, power_2=4.0)
    close(owner, 45, power_1=6.0, power_2=8.0)
    owner.execute("UPDATE progress SET released_to = '2026-01-01 00:43Z' WHERE partition = 1")
    owner.execute("UPDATE progress SET released_to = '2026-01-01 00:46Z' WHERE partition = 0")
    deriver = Deriver("readings")
    derive(worker, deriver)
    assert told(owner) == []

    owner.execute("UPDATE progress SET released_to = '2026-01-01 01:02Z' WHERE partition = 0")
    derive(worker, deriver)
    assert told(owner) == [("/", 30, 14.0, 0), ("/", 45, 28.0, 0)]

    close(owner, 30, power_3=100.0)
    owner.execute("UPDATE progress SET released_to = '2026-01-01 00:58Z' WHERE partition = 1")
    derive(worker, deriver)
    assert told(owner) == [("/", 30, 214.0, 1)]

    owner.execute(
        "INSERT INTO series (tenant, source, metric, home_topic, home_partition)"
        " VALUES ('default', 'pump-4', 'power', 'readings', 2);"
        " INSERT INTO progress (topic, partition, epoch, next_offset, owner, session, released_to)"
        " VALUES ('readings', 2, 1, 0, 'me', 'me', '2026-01-01 00:45Z')"
    )
    close(owner, 15, power_4=1.0)
    close(owner, 30, power_4=2.0)
    derive(worker, deriver)
    assert told(owner) == [("/", 15, 2.0, 0), ("/", 30, 218.0, 2)]


def test_nodes_are_as_they_were_then_and_as_somebody_says_later_that_they_were(
    owner: psycopg.Connection[Any], worker: Connection
) -> None:
    for minute in (0, 15, 30):
        close(owner, minute, power_1=1.0, power_2=2.0, power_3=4.0)
    define(worker, per="site", expression="sum(power)")
    derive(worker)
    everywhere = [
        (site, minute, power, 0)
        for site, power in (("/north", 6.0), ("/south", 8.0))
        for minute in (0, 15, 30)
    ]
    assert told(owner) == everywhere

    owner.execute("SELECT place_series('default', 'pump-1', NULL, 'east', since => '2026-01-01 00:15Z')")
    derive(worker)
    assert told(owner) == [
        ("/east", 15, 2.0, 0),
        ("/east", 30, 2.0, 0),
        ("/north", 15, 4.0, 1),
        ("/north", 30, 4.0, 1),
    ]
    owner.execute("SELECT place_series('default', 'pump-1', NULL, 'south', since => '2026-01-01 00:30Z')")
    derive(worker)
    assert told(owner) == [("/east", 30, None, 1), ("/south", 30, 10.0, 1)]
    owner.execute("UPDATE series SET attributes = '{\"site\": \"north\"}' WHERE source = 'pump-3'")
    derive(worker)
    assert [each for each in told(owner) if each[0] == "/south"] == [
        ("/south", 0, None, 1), ("/south", 15, None, 1), ("/south", 30, 2.0, 2)
    ]  # fmt: skip


def test_a_killed_refresher_has_told_nothing_and_a_second_one_does_nothing_beside_it(
    owner: psycopg.Connection[Any], worker: Connection, database: str
) -> None:
    close(owner, 0, power_1=6.0, rated_1=8.0)
    define(worker)
    with connect(as_writer(database), "rollups/other") as other:
        other.execute("BEGIN")
        assert Deriver("readings").derive_some(other) != []
        assert Deriver("readings").derive_some(worker) == []
        owner.execute("SELECT pg_terminate_backend(%s)", (other.info.backend_pid,))
        with pytest.raises(psycopg.OperationalError):
            other.execute("COMMIT")
    assert told(owner) == []

    derive(worker)
    assert told(owner) == [("pump-1", 0, 0.75, 0)]


def test_who_defines_a_metric_anew_corrects_what_was_told_and_what_was_given_up_stays(
    owner: psycopg.Connection[Any], worker: Connection
) -> None:
    close(owner, 0, power_1=6.0, rated_1=8.0, power_2=5.0, rated_2=5.0)
    close(owner, -1440, power_1=1.0, rated_1=2.0)
    define(worker)
    derive(worker)
    assert told(owner) == [("pump-1", -1440, 0.5, 0), ("pump-1", 0, 0.75, 0), ("pump-2", 0, 1.0, 0)]

    owner.execute("UPDATE raw_retention SET kept_from = '2026-01-01Z', raised = raised + 1")
    define(worker, expression="mean(power) / mean(rated) * 1", node=("north",))
    derive(worker)
    assert told(owner) == []
    define(worker, expression="mean(power)", per="site")
    derive(worker)
    assert told(owner) == [("/north", 0, 5.5, 0), ("pump-1", 0, None, 1), ("pump-2", 0, None, 1)]
    assert owner.execute("SELECT count(*) FROM derived_results WHERE bucket < '2026-01-01Z'").fetchone() == (
        0,
    )


def test_what_cannot_be_is_refused_in_words_and_nothing_is_changed(
    owner: psycopg.Connection[Any], worker: Connection, database: str
) -> None:
    close(owner, 45, power_1=6.0, rated_1=8.0)
    tried = define(worker, dry_run=True)
    assert {source: result.value for source, (_, result) in tried.latest.items()} == {"pump-1": 0.75}
    assert owner.execute("SELECT count(*) FROM derived_metrics").fetchone() == (0,)

    define(worker)
    define(worker, "score", expression="mean(load) * 2")
    refused = {
        "load is computed from itself: load needs score, score needs load": {"expression": "mean(score)"},
        "computed from itself: load needs load": {"expression": "mean(load) + mean(power)"},
        "the expression is refused: it cannot be read": {"expression": "mean(power) /"},
        "there are no rollups of level 7m": {"level": "7m"},
        "unit 'k W' is not 1 to 40 printable": {"unit": "k W"},
        "metric 'a.tb' contains a control character": {"metric": "a\tb"},
        "name has 201 characters": {"metric": "m" * 201},
        "has 3 series of power that producers send": {"metric": "power", "expression": "mean(rated)"},
    }
    for words, changed in refused.items():
        with pytest.raises(UserError, match=words):
            define(worker, **changed)
    dsn = as_writer(database)
    with pytest.raises(UserError, match="score is computed from load"):
        derived.remove(dsn, "default", "load")
    derived.remove(dsn, "default", "score")
    with pytest.raises(UserError, match="no derived metric score"):
        derived.remove(dsn, "default", "score")
    assert [row["metric"] for row in derived.listed(dsn, "default")] == ["load"]


def test_one_that_cannot_be_read_stops_itself_alone_and_says_so(
    owner: psycopg.Connection[Any], worker: Connection
) -> None:
    close(owner, 0, power_1=6.0, rated_1=8.0)
    define(worker, "bad")
    define(worker)
    owner.execute("UPDATE derived_metrics SET expression = 'mean(power) ** 9' WHERE metric = 'bad'")
    derive(worker)

    assert told(owner) == [("pump-1", 0, 0.75, 0)]
    trouble = dict(owner.execute("SELECT metric, trouble FROM derived_state").fetchall())
    assert trouble["load"] is None
    assert "not allowed" in trouble["bad"]


def test_one_that_fails_is_passed_over_and_says_why_until_it_is_tried_again(
    owner: psycopg.Connection[Any], worker: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(owner, 0, power_1=6.0, rated_1=8.0)
    define(worker, "bad")
    define(worker)
    now = [0.0]

    def fail(session: Connection, definition: Definition, *span: int) -> Computed:
        if definition.metric == "bad":
            session.execute("SELECT 1 / 0")
        return compute(session, definition, *span)

    monkeypatch.setattr(sinks_derived, "compute", fail)
    deriver = Deriver("readings", clock=lambda: now[0])
    assert deriver.derive_some(worker) == []
    derive(worker, deriver)
    assert told(owner) == [("pump-1", 0, 0.75, 0)]
    trouble = "SELECT metric, trouble FROM derived_state"
    assert dict(owner.execute(trouble).fetchall()) == {"bad": "division by zero", "load": None}

    monkeypatch.undo()
    now[0] = 59.0
    derive(worker, deriver)
    assert told(owner) == []
    now[0] = 60.0
    derive(worker, deriver)
    assert told(owner) == [("pump-1", 0, 0.75, 0)]
    assert dict(owner.execute(trouble).fetchall()) == {"bad": None, "load": None}


def test_whoever_defines_a_metric_has_nobody_wait_and_the_last_definition_is_computed(
    owner: psycopg.Connection[Any], worker: Connection
) -> None:
    close(owner, 0, power_1=6.0, power_2=3.0)
    define(worker, expression="sum(power)")
    deriver = Deriver("readings")
    with owner.transaction():
        owner.execute("LOCK TABLE derived_metrics IN SHARE ROW EXCLUSIVE MODE")
        assert deriver.derive_some(worker) == []
    derive(worker, deriver)
    assert len(told(owner)) == 2

    (before,) = read_definitions(worker)
    define(worker, expression="sum(power)", per="site")
    with worker.transaction():
        assert sinks_derived._derive(worker, before, "readings", 200) is None
    derive(worker, deriver)
    assert told(owner) == [("/north", 0, 18.0, 0), ("pump-1", 0, None, 1), ("pump-2", 0, None, 1)]


def test_what_readings_cannot_be_named_after_is_left_out_and_said(
    owner: psycopg.Connection[Any], worker: Connection
) -> None:
    long = "hall " * 30
    for name, site, zone in (("pump-1", long, long), ("pump-2", long, None)):
        owner.execute(
            "UPDATE series SET attributes = jsonb_build_object('site', %s::text, 'zone', %s::text)"
            " WHERE source = %s",
            (site, zone or "2", name),
        )
    close(owner, 0, power_1=6.0, power_2=5.0)
    define(worker, expression="sum(power)", per="zone")
    derive(worker)
    assert [value for _, _, value, _ in told(owner)] == [10.0]
    ((trouble,),) = owner.execute("SELECT trouble FROM derived_state").fetchall()
    assert trouble.startswith("1 are left out, as /hall")


def test_results_are_forgotten_in_bounded_parts_and_times_before_all_readings_do_no_harm(
    owner: psycopg.Connection[Any], worker: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(owner, 0, power_1=6.0, rated_1=8.0)
    for minute in (-45, -30, -15):
        close(owner, minute, power_1=1.0, rated_1=2.0)
    define(worker, since="0001-01-01T00:00+05:00")
    deriver = Deriver("readings")
    derive(worker, deriver)
    assert len(told(owner)) == 4

    owner.execute("UPDATE raw_retention SET kept_from = '2026-01-01Z', raised = raised + 1")
    owner.execute("INSERT INTO derived_marks SELECT derived_id, '2026-01-01Z' FROM derived_metrics")
    monkeypatch.setattr(sinks_derived, "FORGOTTEN_AT_ONCE", 2)
    left: list[int] = []
    while deriver.derive_some(worker):
        left += owner.execute("SELECT count(*) FROM derived_results").fetchone() or ()
    assert left == [2]
    assert owner.execute("SELECT count(*) FROM derived_results").fetchone() == (1,)


def test_a_move_is_taken_in_though_what_it_moves_was_not_computed_when_it_was_written(
    owner: psycopg.Connection[Any], worker: Connection, database: str
) -> None:
    close(owner, 30, power_1=1.0, power_2=2.0)
    owner.execute("UPDATE progress SET released_to = '2026-01-01 00:30Z'")
    define(worker, per="site", expression="sum(power)")
    deriver = Deriver("readings")
    derive(worker, deriver)
    with psycopg.connect(database) as mover:
        mover.execute("SELECT place_series('default', 'pump-1', NULL, 'east', since => '2026-01-01 00:30Z')")
        owner.execute("UPDATE progress SET released_to = '2026-01-01 01:00Z'")
        derive(worker, deriver)
        assert told(owner) == [("/north", 30, 6.0, 0)]
    derive(worker, deriver)
    assert told(owner) == [("/east", 30, 2.0, 0), ("/north", 30, 4.0, 1)]


def send(run: Ingest, second: int, **values: float) -> None:
    """Send a reading of a second for each metric."""
    producer = Producer({"bootstrap.servers": run.settings.kafka})
    for metric, value in values.items():
        time_us = START_US + second * 1_000_000
        message = encode_reading(source="pump", metric=metric, time_us=time_us, value=value)
        producer.produce(run.topic, message, b"gw", partition=0)
    assert producer.flush(30) == 0


def come_to(run: Ingest, second: int, condition: Callable[[], bool], what: str) -> None:
    """Have event time come to a second, whatever the log's clock shows, until a condition holds."""

    def holds() -> bool:
        send(run, second, tick=0.0)
        return condition()

    eventually(holds, what)


def stored(run: Ingest) -> list[tuple[Any, ...]]:
    return run.session.execute(
        "SELECT microseconds(ts), value FROM readings_named WHERE metric = 'load' ORDER BY ts"
    ).fetchall()


def test_results_are_readings_as_all_others_once_whoever_is_killed(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    run.session.execute(FORGET)
    wanted = derived.Wanted(
        "default", "load", "mean(power) / mean(rated)", "1m", "source", (), "1", "-infinity"
    )
    derived.define(as_writer(run.dsn), wanted)
    worker = run.worker()
    for second in range(0, 120, 30):
        send(run, second, power=6.0, rated=8.0)
    minutes = [(START_US, 0.75), (START_US + MINUTE_US, 0.75)]
    come_to(run, 131, lambda: stored(run) == minutes, "two results")

    worker.signal(signal.SIGKILL)
    send(run, 5, power=15.0, rated=8.0)
    run.worker()
    minutes[0] = (START_US, 1.125)
    eventually(lambda: stored(run) == minutes, "the correction")
    highest = "SELECT max(revision) FROM reading_versions JOIN series USING (series_id) WHERE metric = 'load'"
    assert run.one(highest) in (1, 2)  # power and rated come together, or one after the other

    # No watermark waits for what is computed of released readings: the next minutes close as soon as ever.
    for second in range(150, 240, 30):
        send(run, second, power=6.0, rated=8.0)
    come_to(run, 251, lambda: len(stored(run)) == 4, "the next results")
    eventually(lambda: bool(run.one("SELECT NOT EXISTS (SELECT FROM outbox)")), "all to be sent")
    run.drained()
    report = verify(run.dsn, Log(run.settings.kafka, run.topic), run.topic, pipeline_of(run.settings))
    assert not any(report.faults.values())
    assert run.one("SELECT count(*) FROM dead_letters") == 0
