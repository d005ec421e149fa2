"""Every example of the page on SQL returns what stands below it, asked by an analyst."""

from __future__ import annotations

import csv
import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from jobs.psql import psql_command, psql_environment
from streams.settings import PROJECT_ROOT
from tests.databases import as_reader
from tests.documents import Block, blocks

pytestmark = pytest.mark.stack

PAGE = PROJECT_ROOT / "docs" / "sql.md"
EXAMPLES = blocks(PAGE, "sql")
FILES = sorted((PROJECT_ROOT / "docs" / "examples").glob("boiler-1.*.csv"))
UNITS = {"temperature": "Cel"}
EPISODE = """
    INSERT INTO anomalies (
        started_at, peak_at, ended_at, score, surprise, statistic, observed, expected, band, episode,
        series_id, revision, severity, direction, state, detector, reason, parameters
    )
    SELECT '2026-01-31 13:00Z', '2026-01-31 14:00Z', '2026-01-31 14:00Z', 0.992, 2.1, 4.9, 71.8, 63.6, 1.7,
           '21f1b9a4-6ccd-4f41-bd4c-0d4a3e0a7d0a', series_id, 2, 2, 1, 'over', 'deviation', 'value over 1',
           'same'
    FROM series WHERE metric = 'temperature'
"""
"""As detectors would have stored it, had they seen more than a day."""


@pytest.fixture(scope="module")
def filled(database: str) -> str:
    with psycopg.connect(database) as owner:
        for file in FILES:
            source, metric, _ = file.name.split(".")
            store(owner, source, metric, file)
        owner.execute(EPISODE)
    return as_reader(database)


def store(owner: psycopg.Connection, source: str, metric: str, file: Path) -> None:
    """Store what publishing ``file`` leads to."""
    attributes = f'{{"unit": "{UNITS[metric]}"}}' if metric in UNITS else "{}"
    (series_id,) = owner.execute(
        "INSERT INTO series (tenant, source, metric, attributes) VALUES ('default', %s, %s, %s)"
        " RETURNING series_id",
        (source, metric, attributes),
    ).fetchone() or (None,)
    with file.open(encoding="utf-8") as lines:
        rows = [(row["timestamp"], row["value"], series_id) for row in csv.DictReader(lines)]
    owner.cursor().executemany(
        "INSERT INTO readings (ts, value, series_id, quality) VALUES (%s, %s, %s, 0)", rows
    )


def answer(reader: str, query: str) -> str:
    """Return what psql shows."""
    done = subprocess.run(
        [*psql_command(), "-X", "-P", "footer=off", "-c", query],
        env={**os.environ, **psql_environment(reader), "PGTZ": "UTC", "PGOPTIONS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines() if line.strip())


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_examples_return_what_the_page_says(block: Block, filled: str) -> None:
    below = blocks(PAGE)[blocks(PAGE).index(block) + 1]
    assert below.language == "text"
    assert answer(filled, block.text) == below.text


def test_every_function_and_view_for_analysts_is_on_the_page(database: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    with psycopg.connect(database) as owner:
        names = owner.execute(
            """
            SELECT DISTINCT proname FROM pg_proc AS p
            WHERE pronamespace = 'public'::regnamespace
              AND has_function_privilege('streamgauge_reader', p.oid, 'EXECUTE')
              AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
            """
        ).fetchall()
    assert len(names) >= 12
    assert [name for (name,) in names if f"{name}(" not in page] == []
