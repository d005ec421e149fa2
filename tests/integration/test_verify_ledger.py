"""Ledgers of producers hold the database to what was sent, and name what is not as they say."""

from __future__ import annotations

from pathlib import Path
from typing import LiteralString

import pytest

from jobs.verify.log import Log
from jobs.verify.report import Report
from jobs.verify.verify import verify
from streams.errors import UserError
from streams.worker import pipeline_of
from tests.chaos.ledger import Reading
from tests.chaos.sender import Form, Sender
from tests.integration.ingest import Ingest, MakeIngest

pytestmark = pytest.mark.stack
START_US = 1_790_000_000_000_000
NONE = {"lost": 0, "unledgered": 0, "untrue": 0}
DEEDS: list[tuple[LiteralString, str, int]] = [
    ("DELETE FROM readings WHERE value IN (50, 51)", "lost", 2),
    ("DELETE FROM dead_letters WHERE reason = 'time_out_of_bounds'", "lost", 1),
    ("INSERT INTO readings SELECT '2020-01-01', 1, series_id, 0 FROM series", "unledgered", 1),
    ("UPDATE readings SET value = 1234 WHERE value = 52", "untrue", 1),
    ("UPDATE readings SET quality = 1 WHERE value = 53", "untrue", 1),
    ("UPDATE readings SET value = 3 WHERE value = 900", "untrue", 1),
]


def readings(first: int, count: int, **given: object) -> list[Reading]:
    numbers = range(first, first + count)
    made = [Reading("pump", "rpm", START_US + number, float(number), "gw") for number in numbers]
    return [reading._replace(**given) for reading in made]  # type: ignore[arg-type]


def sender(run: Ingest, directory: Path, name: str = "gw") -> Sender:
    directory.mkdir(exist_ok=True)
    return Sender(run.settings.kafka, run.topic, directory / f"{name}.jsonl", lambda partition, offset: None)


def checked(run: Ingest, ledgers: Path) -> Report:
    log = Log(run.settings.kafka, run.topic)
    return verify(run.dsn, log, run.topic, pipeline_of(run.settings), ledgers=ledgers)


def found(run: Ingest, ledgers: Path) -> dict[str, int]:
    faults = checked(run, ledgers).faults
    return {name: faults[name] for name in NONE}


def ledgered_run(make_ingest: MakeIngest, ledgers: Path) -> Ingest:
    """Store a hundred readings in every form, with a correction, a repeat, a conflict and a refusal."""
    run = make_ingest(partitions=1)
    run.worker()
    with sender(run, ledgers) as gateway:
        for number, form in enumerate(Form):
            gateway.send(readings(25 * number, 25), form)
        gateway.repeat(gateway.sent[0])
        gateway.send(readings(3, 1, value=900.0, revision=1), Form.BATCH)
        gateway.send(readings(4, 1, value=7.0), Form.JSON)
        gateway.send(readings(5, 1, time_us=0), Form.SINGLE)
    run.drained()
    return run


def test_what_was_done_by_hand_is_found_under_its_name(make_ingest: MakeIngest, tmp_path: Path) -> None:
    run = ledgered_run(make_ingest, tmp_path)
    report = checked(run, tmp_path)
    assert report.ok, report.document()
    assert report.document()["ledgered"] == 128
    assert run.one("SELECT count(*) FROM readings") == 100
    expected = dict(NONE)
    for deed, fault, count in DEEDS:
        run.session.execute(deed)
        expected[fault] += count
        assert found(run, tmp_path) == expected, deed


def test_what_is_not_acknowledged_or_not_stored_yet_is_not_lost(
    make_ingest: MakeIngest, tmp_path: Path
) -> None:
    run = make_ingest(partitions=1)
    worker = run.worker()
    with sender(run, tmp_path) as gateway:
        gateway.send(readings(0, 100), Form.BATCH)
    run.drained()
    worker.stop()
    with sender(run, tmp_path, "later") as gateway:
        gateway.send(readings(100, 100), Form.BATCH)
    assert found(run, tmp_path) == NONE
    run.session.execute("DELETE FROM readings WHERE value IN (50, 51)")
    assert found(run, tmp_path) == NONE | {"lost": 2}
    ledger = tmp_path / "gw.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(line for line in lines if b"offset" not in line) + b'{"message": 1, "ind')
    assert found(run, tmp_path) == NONE


def test_no_ledger_and_a_damaged_one_are_said_so(make_ingest: MakeIngest, tmp_path: Path) -> None:
    run = make_ingest(partitions=1)
    with pytest.raises(UserError, match="no ledger"):
        checked(run, tmp_path)
    (tmp_path / "gw.jsonl").write_bytes(b"not json\n")
    with pytest.raises(UserError, match="not json"):
        checked(run, tmp_path)
    (tmp_path / "gw.jsonl").write_bytes(b'{"message": 1}\n')
    with pytest.raises(UserError, match="value"):
        checked(run, tmp_path)
