"""The dashboards: every query of every panel and variable answers an analyst, in the form its panel wants."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from streams.core.levels import level_name
from streams.core.rollup import LEVELS_US
from streams.observe import Observer
from streams.settings import PROJECT_ROOT
from tests.databases import as_reader

GRAFANA = PROJECT_ROOT / "infra" / "grafana"
BOARDS: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted((GRAFANA / "dashboards").glob("*.json"))
}
NOW = datetime.fromisoformat("2026-02-02T06:00:00Z")
SHOWN = timedelta(hours=30)

# Names of people's own choice: whatever a variable holds is one text to the database.
CHOSEN = {
    "tenant": "O'Hara & Sons",
    "site": 'it\'s "north"',
    "metric": "starts",
    "source": "pump'1",
    "level": "1h",
}
FILL = """
    INSERT INTO progress (topic, partition, epoch, next_offset, owner, session, log_clock, watermark)
    VALUES ('readings', 0, 1, 9, 'me', 'me', '2026-02-02 06:00Z', '2026-02-02 05:59Z');
    INSERT INTO series (tenant, source, metric, attributes, home_topic, home_partition)
    SELECT 'O''Hara & Sons', source, metric,
           jsonb_build_object('site', 'it''s "north"', 'unit', 'Cel'), 'readings', 0
    FROM unnest('{pump''1, pump-2}'::text[]) AS source, unnest('{starts, rpm}'::text[]) AS metric;
    INSERT INTO series (tenant, source, metric)
    VALUES ('O''Hara & Sons', 'old', 'rpm'), ('other', 'x', 'rpm');
    INSERT INTO readings (ts, value, series_id, quality)
    SELECT timestamptz '2026-02-02 06:00Z' - n * INTERVAL '10 min', 1000 - n, series_id,
           CASE n WHEN 7 THEN 2 ELSE 0 END
    FROM series, generate_series(0, 400) AS n WHERE source <> 'old';
    INSERT INTO readings (ts, value, series_id, quality)
    SELECT '2026-01-01 00:00Z', 1, series_id, 0 FROM series WHERE source = 'old';
    INSERT INTO halts (topic, partition, kind, reason)
    VALUES ('readings', 1, 'deleted', 'The topic is gone.');
    INSERT INTO resumptions (who, why, topic, partition, from_offset, to_offset)
    VALUES ('me', 'It was made anew.', 'readings', 1, 9, 0);
    INSERT INTO late_readings VALUES ('readings', 0, 60, 3);
    INSERT INTO producers (topic, partition, tenant, producer, epoch, seen, last_seen)
    VALUES ('readings', 0, 'other', 'gateway', 1, '{[1,4),[6,9)}', now());
    INSERT INTO dead_letters (at, topic, partition, "offset", index, reason, detail, payload, payload_bytes)
    VALUES ('2026-02-02 05:00Z', 'readings', 0, 0, -1, 'malformed', 'It is no JSON.', '', 0);
"""


class Query(NamedTuple):
    """SQL of a panel, or of a variable, which has no form."""

    board: str
    title: str
    sql: str
    form: str = ""

    def __str__(self) -> str:
        return f"{self.board}: {self.title}"


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for board, content in BOARDS.items():
        yield from ((board, panel) for panel in content["panels"])


def variables(board: str) -> list[dict[str, Any]]:
    return list(BOARDS[board]["templating"]["list"])


QUERIES = [
    Query(board, panel["title"], target["rawSql"], target["format"])
    for board, panel in panels()
    for target in panel["targets"]
    if "rawSql" in target
] + [
    Query(board, variable["name"], variable["query"])
    for board in BOARDS
    for variable in variables(board)
    if variable["type"] == "query"
]
EXPRESSIONS = [target["expr"] for _, panel in panels() for target in panel["targets"] if "expr" in target]


def filled_in(query: Query, since: datetime = NOW - SHOWN, until: datetime = NOW, **chosen: str) -> str:
    """Return the SQL that Grafana sends."""
    times = [f"'{at.isoformat().replace('+00:00', 'Z')}'" for at in (since, until)]
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN {times[0]} AND {times[1]}", query.sql)
    sql = sql.replace("$__timeFrom()", times[0]).replace("$__timeTo()", times[1])
    for name in {variable["name"] for variable in variables(query.board)}:
        value = (CHOSEN | chosen)[name]
        quoted = "'" + value.replace("'", "''") + "'"
        sql = sql.replace(f"${{{name}:sqlstring}}", quoted).replace(f"${{{name}:raw}}", value)
    assert "$" not in sql, f"Grafana does not know {sql[sql.index('$') :][:30]}"
    return sql


@pytest.fixture(scope="module")
def analyst(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(FILL)
    with psycopg.connect(as_reader(database), autocommit=True) as session:
        yield session


def test_there_are_the_fleet_a_site_and_the_pipeline() -> None:
    assert {name: board["uid"] for name, board in BOARDS.items()} == {
        name: f"streamgauge-{name}" for name in ("fleet", "pipeline", "site")
    }
    assert len(QUERIES) > 20


@pytest.mark.stack
@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_query_answers_in_the_form_that_its_panel_wants(
    query: Query, analyst: psycopg.Connection[Any]
) -> None:
    found = analyst.execute(filled_in(query).encode())
    assert found.description
    columns = [column.name for column in found.description]
    rows = found.fetchall()
    assert rows, "the database has something for each"
    if query.form == "time_series":
        at = [row[columns.index("time")] for row in rows]
        assert at == sorted(at) and all(isinstance(time, datetime) for time in at)
        numbers = [name for name in columns if name not in ("time", "metric")]
        assert any(row[columns.index(name)] is not None for row in rows for name in numbers)
    elif not query.form:
        assert columns == [query.title]
        assert (CHOSEN[query.title],) in rows


@pytest.mark.stack
@pytest.mark.parametrize("query", [query for query in QUERIES if "$__time" in query.sql], ids=str)
def test_where_nothing_is_in_the_time_shown_a_panel_is_empty_and_not_wrong(
    query: Query, analyst: psycopg.Connection[Any]
) -> None:
    at = datetime.fromisoformat("2020-01-01T00:00:00Z")
    rows = analyst.execute(filled_in(query, at, at + SHOWN).encode()).fetchall()
    assert not rows or query.form != "time_series"


@pytest.mark.stack
@pytest.mark.parametrize("board", ["fleet", "site"])
def test_a_panel_of_a_tenant_shows_no_other(board: str, analyst: psycopg.Connection[Any]) -> None:
    for query in QUERIES:
        if query.board == board and query.title not in ("tenant", "level"):
            assert "tenant = ${tenant:sqlstring}" in query.sql or "${tenant:sqlstring})" in query.sql
            assert "'x'" not in str(analyst.execute(filled_in(query).encode()).fetchall())


@pytest.mark.stack
@pytest.mark.parametrize("board", ["fleet", "site"])
def test_levels_to_choose_from_are_those_that_are_kept(board: str, analyst: psycopg.Connection[Any]) -> None:
    (query,) = [query for query in QUERIES if (query.board, query.title) == (board, "level")]
    assert analyst.execute(query.sql.encode()).fetchall() == [(level_name(width),) for width in LEVELS_US]


@pytest.mark.stack
def test_series_without_a_site_are_shown_as_those_of_a_site(analyst: psycopg.Connection[Any]) -> None:
    shown = {
        query.title: analyst.execute(filled_in(query, site="no site").encode()).fetchall()
        for query in QUERIES
        if query.board == "site"
    }
    assert ("no site",) in shown["site"] and shown["metric"] == [("rpm",)]
    assert [row[0] for row in shown["Latest"]] == ["old"]


def test_what_is_looked_up_of_each_series_is_asked_for_once_by_a_board() -> None:
    asked = [query.board for query in QUERIES if re.search(r"\bFROM latest\b", query.sql)]
    assert sorted(asked) == ["fleet", "site"]


@pytest.mark.stack
def test_dead_letters_of_a_time_are_found_by_an_index(database: str) -> None:
    with psycopg.connect(database) as owner:
        owner.execute("SET enable_seqscan TO off")
        plan = owner.execute(
            "EXPLAIN SELECT FROM dead_letters WHERE at BETWEEN '2026-01-01' AND '2026-01-02'"
        )
        assert "dead_letters_at" in str(plan.fetchall())


def test_panels_are_numbered_explained_and_do_not_overlap() -> None:
    for board, content in BOARDS.items():
        assert [panel["id"] for panel in content["panels"]] == list(range(1, len(content["panels"]) + 1))
        taken: set[tuple[int, int]] = set()
        for panel in content["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert panel["description"] and not cells & taken, f"{board}: {panel['title']}"
            assert max(x for x, _ in cells) < 24
            taken |= cells


def test_data_sources_of_panels_are_provisioned() -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/streamgauge.yml").read_text())
    provisioned = {(source["type"], source["uid"]) for source in sources["datasources"]}
    used = {
        (of["datasource"]["type"], of["datasource"]["uid"])
        for board, panel in panels()
        for of in (panel, *panel["targets"], *(v for v in variables(board) if v["type"] == "query"))
    }
    assert used == provisioned


def test_dashboards_are_mounted_where_their_provider_looks() -> None:
    compose = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())["services"]["grafana"]
    providers = yaml.safe_load((GRAFANA / "provisioning/dashboards/streamgauge.yml").read_text())
    (provider,) = providers["providers"]
    folder = provider["options"]["path"]
    assert f"./infra/grafana/dashboards:{folder}:ro" in compose["volumes"]
    home = compose["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.rpartition("/")[0] == folder
    assert (GRAFANA / "dashboards" / home.rpartition("/")[2]).exists()


def test_metrics_of_panels_are_those_of_workers() -> None:
    registry = CollectorRegistry()
    Observer(registry)
    exported = re.findall(
        r"^# TYPE (streamgauge_\w+) (\w+)", generate_latest(registry).decode(), re.MULTILINE
    )
    names = {name + end for name, kind in exported for end in ("_bucket" if kind == "histogram" else "",)}
    asked = {name for expression in EXPRESSIONS for name in re.findall(r"streamgauge_\w+", expression)}
    assert len(asked) >= 3
    assert asked <= names
