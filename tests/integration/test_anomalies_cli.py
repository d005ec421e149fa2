"""``streamgauge anomalies``: what is listed, labelled and suggested, as an operator calls it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
import pytest

from tests.integration.test_database_cli import streamgauge

pytestmark = pytest.mark.stack

SERIES = """
    INSERT INTO series (tenant, source, metric)
    SELECT 'default', source, metric
    FROM unnest(ARRAY['web-1', 'web-1/cpu=0', 'web-2']) AS source, unnest(ARRAY['load', 'heat']) AS metric
"""
EPISODE = """
    INSERT INTO anomalies (
        started_at, peak_at, ended_at, score, surprise, statistic, observed, expected, band, episode,
        series_id, revision, severity, direction, state, detector, reason, parameters
    )
    SELECT at, at, at + INTERVAL '20 minutes', 0.99, %(surprise)s, 9, 1, 0, 1, gen_random_uuid(), series_id,
           1, CASE WHEN %(surprise)s >= 2.2 THEN 3 ELSE 1 END, 1, 'over', 'deviation', 'value over 1', 'same'
    FROM series, (SELECT now() - make_interval(mins => %(ago_min)s) AS at) AS began
    WHERE source = %(source)s AND metric = %(metric)s
    RETURNING episode::text
"""

SAID = """
    INSERT INTO anomaly_labels (episode, started_at, worth_it, labelled_by)
    SELECT episode, started_at, %s, 'ann' FROM anomalies WHERE episode = %s
"""


class Operator:
    """Somebody who looks at the episodes of a database."""

    def __init__(self, dsn: str, session: psycopg.Connection[Any]) -> None:
        self.dsn, self.session = dsn, session

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        return streamgauge(self.dsn, "anomalies", *words)

    def json(self, *words: str) -> Any:
        done = self.cli(*words, "--json")
        assert done.returncode == 0, done.stderr
        return orjson.loads(done.stdout)

    def episode(self, source: str, metric: str, ago_min: int, surprise: float) -> str:
        names = {"source": source, "metric": metric, "ago_min": ago_min, "surprise": surprise}
        (episode,) = self.session.execute(EPISODE, names).fetchone() or ("",)
        return str(episode)


@pytest.fixture
def operator(database: str) -> Iterator[Operator]:
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("TRUNCATE anomalies, anomaly_labels")
        session.execute("DELETE FROM series")
        session.execute(SERIES)
        yield Operator(database, session)


def test_the_list_says_what_moved_first_and_most(operator: Operator) -> None:
    operator.episode("web-1", "heat", 30, 2.0)
    operator.episode("web-1/cpu=0", "load", 40, 2.5)
    operator.episode("web-2", "load", 35, 1.3)
    operator.episode("web-2", "load", 60 * 30, 4.0)
    found = operator.json("list")

    assert [(each["source"], each["suspicion"] > 0.5) for each in found] == [
        ("web-1", False),
        ("web-2", True),
        ("web-1/cpu=0", True),
    ]
    assert [each["metric"] for each in operator.json("list", "--severity", "high", "--since", "7d")] == [
        "load",
        "load",
    ]
    assert "web-1/cpu=0" in operator.cli("list").stdout


def test_labels_are_kept_and_the_latest_word_counts(operator: Operator) -> None:
    episode = operator.episode("web-1", "load", 30, 2.0)
    operator.json("label", episode[:12], "true", "--by", "ann")
    said = operator.json("label", episode, "false", "--by", "bob")

    assert said == {"episode": episode, "worth_it": False, "labelled_by": "bob"}
    assert [(each["worth_it"], each["labelled_by"]) for each in operator.json("list")] == [(False, "bob")]
    assert operator.session.execute("SELECT count(*) FROM anomaly_labels").fetchone() == (2,)


def test_one_episode_has_to_be_meant(operator: Operator) -> None:
    operator.episode("web-1", "load", 30, 2.0)
    operator.episode("web-1", "load", 50, 2.0)
    several, none = (operator.cli("label", beginning, "true") for beginning in ("", "zz"))

    assert (several.returncode, none.returncode) == (1, 1)
    assert "several" in several.stderr
    assert "anomalies list" in none.stderr


def test_thresholds_are_suggested_with_what_they_do_to_labels_held_back(operator: Operator) -> None:
    for number in range(9):
        true = number % 3 == 0
        episode = operator.episode("web-1", "load", 500 - number, 3.0 if true else 1.5)
        operator.session.execute(SAID, (true, episode))
    (suggestion,) = operator.json("suggest")

    assert suggestion == {
        "metric": "load",
        "threshold": 1.55,
        "learnt": {"true": 2, "true_left": 2, "false": 4, "false_left": 0},
        "held_back": {"true": 1, "true_left": 1, "false": 2, "false_left": 0},
    }
    assert "1.55" in operator.cli("suggest").stdout
