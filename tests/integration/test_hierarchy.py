"""Series stand somewhere, are moved, and are rolled up as it was then and as it is now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import orjson
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors

from tests.integration.test_database_cli import streamgauge

pytestmark = pytest.mark.stack

# Readings of two days; what is released is closed by hand, the last three hours are open.
FILL = """
    TRUNCATE placements, series, readings, rollup_closed_1h, metrics, progress RESTART IDENTITY;
    INSERT INTO progress (topic, partition, epoch, next_offset, owner, session, released_to)
    VALUES ('readings', 0, 1, 0, 'me', 'me', '2026-01-02 21:00Z');
    INSERT INTO series (tenant, source, metric, attributes, home_topic, home_partition)
    SELECT 'default', 'pump-' || n, metric,
           CASE WHEN n <= 4 THEN jsonb_build_object(
               'site', CASE WHEN n <= 3 THEN 'north' ELSE 'south' END,
               'zone', 'hall-' || 2 - mod(n, 2), 'system', 'cooling'
           ) ELSE '{}' END, 'readings', 0
    FROM generate_series(1, 5) AS n, unnest('{rpm, temperature}'::text[]) AS metric;
    INSERT INTO readings (ts, value, series_id, quality)
    SELECT timestamptz '2026-01-01 00:00Z' + n * INTERVAL '20 min', series_id * 100 + n, series_id, 0
    FROM series, generate_series(0, 143) AS n WHERE mod(n, series_id + 2) > 0;
    INSERT INTO rollup_closed_1h (bucket, readings, bad, sum, min, max, first, first_at, last, last_at,
                                  m2, increase, integral, series_id)
    SELECT time_bucket('1 hour', ts), count(*), 0, sum(value), min(value), max(value),
           first(value, ts), min(ts), last(value, ts), max(ts), 0, 0, 0, series_id
    FROM readings WHERE ts < '2026-01-02 21:00Z' GROUP BY 1, series_id;
"""
DAYS: LiteralString = "'2026-01-01', '2026-01-03'"
GROUPS = "bucket, site, zone, system, component, series, readings, sum, mean, min, max, worst, worst_value"


@pytest.fixture
def owner(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as session:
        session.execute(FILL)
        session.execute("SET timezone TO 'UTC'")
        yield session


def place(
    owner: psycopg.Connection[Any], source: str, metric: str | None, since: str, *names: str | None
) -> None:
    node = (*names, *[None] * (4 - len(names)))
    owner.execute(
        "SELECT place_series('default', %s, %s, %s, %s, %s, %s, %s)", (source, metric, *node, since)
    )


def say(owner: psycopg.Connection[Any], source: str, metric: str | None = None, **attributes: str) -> None:
    """Have the producer say this, too, of a series or of all of its source."""
    owner.execute(
        "UPDATE series SET attributes = attributes || %s::jsonb"
        " WHERE source = %s AND metric = coalesce(%s, metric)",
        (orjson.dumps(attributes).decode(), source, metric),
    )


def standing(owner: psycopg.Connection[Any], at: str = "now", metric: str = "rpm") -> dict[str, str]:
    """Return where each source stands at a time, by the path of its node."""
    return dict(
        owner.execute(
            "SELECT source, array_to_string(ARRAY[site, zone, system, component], '/', '-')"
            " FROM series_places WHERE since <= %(at)s AND until > %(at)s AND metric = %(metric)s",
            {"at": at, "metric": metric},
        ).fetchall()
    )


def grouped(owner: psycopg.Connection[Any], arguments: str) -> list[tuple[Any, ...]]:
    return owner.execute(f"SELECT {GROUPS} FROM group_rollup({arguments})".encode()).fetchall()


def from_readings(
    owner: psycopg.Connection[Any], condition: str, names: str, at: str
) -> list[tuple[Any, ...]]:
    """Return the same from readings alone, of series that stand at ``at`` where ``condition`` says."""
    return owner.execute(
        f"""
        WITH hours AS (
            SELECT time_bucket('1 hour', ts) AS hour, series_id, count(*) AS readings, sum(value) AS sum,
                   avg(value) AS mean, min(value) AS min, max(value) AS max
            FROM readings GROUP BY 1, 2
        )
        SELECT hour, {names}, count(*), sum(readings)::bigint, sum(sum), avg(mean), min(min), max(max),
               (array_agg(source ORDER BY max DESC))[1], max(max)
        FROM hours JOIN series_places AS p USING (series_id)
        WHERE metric = 'rpm' AND since <= {at} AND until > {at} AND ({condition})
        GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
        """.encode()
    ).fetchall()


def test_what_nobody_put_anywhere_stands_where_its_producer_says(owner: psycopg.Connection[Any]) -> None:
    assert standing(owner) == {
        "pump-1": "north/hall-1/cooling/-",
        "pump-2": "north/hall-2/cooling/-",
        "pump-3": "north/hall-1/cooling/-",
        "pump-4": "south/hall-2/cooling/-",
        "pump-5": "-/-/-/-",
    }


def test_a_series_goes_before_its_source_and_its_source_before_its_producer(
    owner: psycopg.Connection[Any],
) -> None:
    place(owner, "pump-1", None, "2026-01-01 12:00Z", "east")
    place(owner, "pump-1", "rpm", "2026-01-02 00:00Z", "west", None, "mill")
    place(owner, "pump-1", None, "2026-01-02 12:00Z", "far east")
    where = {
        metric: [
            standing(owner, f"2026-01-{at}Z", metric)["pump-1"] for at in ("01 11:59", "01 12:00", "02", "03")
        ]
        for metric in ("rpm", "temperature")
    }
    assert where == {
        "rpm": ["north/hall-1/cooling/-", "east/-/-/-", "west/-/mill/-", "west/-/mill/-"],
        "temperature": ["north/hall-1/cooling/-", "east/-/-/-", "east/-/-/-", "far east/-/-/-"],
    }
    owner.execute("INSERT INTO series (tenant, source, metric) VALUES ('default', 'pump-1', 'new')")
    assert standing(owner, metric="new") == {"pump-1": "far east/-/-/-"}


def test_what_is_put_in_between_holds_until_the_next_and_the_same_time_corrects(
    owner: psycopg.Connection[Any],
) -> None:
    place(owner, "pump-1", None, "2026-01-10Z", "late")
    place(owner, "pump-1", None, "2026-01-05Z", "wrong")
    place(owner, "pump-1", None, "2026-01-05Z", "early")
    place(owner, "pump-1", None, "-infinity", "first")
    assert held(owner) == [
        ("first", "-infinity", "2026-01-05 00:00:00+00"),
        ("early", "2026-01-05 00:00:00+00", "2026-01-10 00:00:00+00"),
        ("late", "2026-01-10 00:00:00+00", "infinity"),
    ]
    owner.execute("DELETE FROM placements WHERE site = 'early'")
    assert held(owner) == [
        ("first", "-infinity", "2026-01-10 00:00:00+00"),
        ("late", "2026-01-10 00:00:00+00", "infinity"),
    ]


def held(owner: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return owner.execute(
        "SELECT site, since::text, until::text FROM series_places"
        " WHERE source = 'pump-1' AND metric = 'rpm' ORDER BY since"
    ).fetchall()


def test_an_empty_attribute_names_no_place(owner: psycopg.Connection[Any]) -> None:
    say(owner, "pump-5", site="", zone="", system="", component="")
    assert standing(owner)["pump-5"] == "-/-/-/-"
    rows = grouped(owner, f"'1h', 'rpm', {DAYS}, '{{NULL}}', 'component'")
    assert {row[1:5] for row in rows} == {(None, None, None, None)}


def test_now_is_when_nobody_else_says_anything(owner: psycopg.Connection[Any], database: str) -> None:
    with psycopg.connect(database) as early:
        early.execute("SELECT now()")
        owner.execute("SELECT place_series('default', 'pump-1', NULL, 'first')")
        early.execute("SELECT place_series('default', 'pump-1', NULL, 'second')")
    assert standing(owner)["pump-1"] == "second/-/-/-"
    with psycopg.connect(database) as early:
        early.execute("SELECT now()")
        owner.execute("SELECT place_series('default', 'pump-1', NULL, 'third')")
        early.execute("SELECT move_node('default', '{third}', '{}', as_name => 'fourth')")
    assert standing(owner)["pump-1"] == "fourth/-/-/-"


TIMES = st.integers(0, 6).map(lambda hour: f"2026-01-01 {hour:02}:00Z")
PUT = st.tuples(st.sampled_from(["rpm", None]), TIMES, st.sampled_from(["a", "b", None]))


@given(st.lists(PUT, max_size=8))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_was_put_where_a_series_stands_at_one_place_at_any_time(
    owner: psycopg.Connection[Any], puts: list[tuple[str | None, str, str | None]]
) -> None:
    owner.execute("TRUNCATE placements")
    known: dict[str | None, dict[str, str | None]] = {"rpm": {}, None: {}}
    for metric, since, site in puts:
        place(owner, "pump-1", metric, since, site)
        known[metric][since] = site
    for hour in range(-1, 8):
        at = f"2026-01-01 {hour:02}:30Z" if hour >= 0 else "2025-12-31 23:30Z"
        held = [
            max((since, site) for since, site in known[metric].items() if since <= at)
            for metric in ("rpm", None)
            if any(since <= at for since in known[metric])
        ]
        rows = owner.execute(
            "SELECT site FROM series_places"
            " WHERE source = 'pump-1' AND metric = 'rpm' AND since <= %s AND until > %s",
            (at, at),
        ).fetchall()
        assert rows == [(held[0][1] if held else "north",)]


@pytest.mark.parametrize(
    ("node", "by", "condition", "names"),
    [
        ("{}", None, "true", "NULL, NULL, NULL, NULL"),
        ("{north}", None, "site = 'north'", "site, NULL, NULL, NULL"),
        ("{}", "site", "true", "site, NULL, NULL, NULL"),
        ("{north}", "zone", "site = 'north'", "site, zone, NULL, NULL"),
        ("{north,hall-1,cooling}", None, "site = 'north' AND zone = 'hall-1'", "site, zone, system, NULL"),
        ("{NULL}", None, "site IS NULL", "site, NULL, NULL, NULL"),
        ("{north}", "component", "site = 'north'", "site, zone, system, component"),
        ("{nowhere}", None, "false", "NULL, NULL, NULL, NULL"),
    ],
)
def test_a_group_is_what_its_readings_make_then_and_now(
    node: str, by: str | None, condition: str, names: str, owner: psycopg.Connection[Any]
) -> None:
    place(owner, "pump-1", "rpm", "2026-01-01 12:00Z", "south", "hall-9")
    place(owner, "pump-3", None, "2026-01-02 22:00Z", "south", "hall-9", None, "motor")
    arguments = f"'1h', 'rpm', {DAYS}, '{node}'" + (f", by => '{by}'" if by else "")
    assert grouped(owner, arguments) == from_readings(owner, condition, names, "hour")
    assert grouped(owner, f"{arguments}, placed => now()") == from_readings(owner, condition, names, "now()")


def test_the_lowest_is_the_worst_where_the_metric_says_so(owner: psycopg.Connection[Any]) -> None:
    first = "'1h', 'rpm', '2026-01-01 01:00Z', '2026-01-01 02:00Z', '{north}'"
    assert [row[-2:] for row in grouped(owner, first)] == [("pump-3", 304.0)]
    owner.execute("INSERT INTO metrics (metric, worst) VALUES ('rpm', 'lowest')")
    assert [row[-2:] for row in grouped(owner, first)] == [("pump-1", 104.0)]


def test_a_node_is_moved_with_all_that_stands_in_it(owner: psycopg.Connection[Any]) -> None:
    place(owner, "pump-5", "rpm", "2026-01-01Z", "north", "hall-1", "heating", "burner")
    ((moved,),) = owner.execute(
        "SELECT move_node('default', '{north,hall-1}', '{south}', '2026-01-02Z', 'hall-7')"
    ).fetchall()
    assert moved == 3
    assert standing(owner, "2026-01-01 12:00Z")["pump-5"] == "north/hall-1/heating/burner"
    assert standing(owner, "2026-01-03Z") == {
        "pump-1": "south/hall-7/cooling/-",
        "pump-2": "north/hall-2/cooling/-",
        "pump-3": "south/hall-7/cooling/-",
        "pump-4": "south/hall-2/cooling/-",
        "pump-5": "south/hall-7/heating/burner",
    }


def move(owner: psycopg.Connection[Any], node: str, into: str, since: str, name: str | None = None) -> None:
    owner.execute("SELECT move_node('default', %s, %s, %s, %s)", (node, into, since, name))


def test_what_was_moved_goes_on_following_its_source(owner: psycopg.Connection[Any]) -> None:
    move(owner, "{north,hall-1}", "{south}", "2026-01-02Z")
    owner.execute(
        "INSERT INTO series (tenant, source, metric, attributes)"
        " SELECT tenant, source, 'new', attributes FROM series WHERE source = 'pump-1' AND metric = 'rpm'"
    )
    assert standing(owner, metric="new")["pump-1"] == "south/hall-1/cooling/-"
    place(owner, "pump-1", None, "2026-01-03Z", "east")
    assert {standing(owner, metric=metric)["pump-1"] for metric in ("rpm", "temperature", "new")} == {
        "east/-/-/-"
    }


def test_series_of_one_source_that_stand_apart_are_moved_apart_and_the_source_is_told(
    owner: psycopg.Connection[Any],
) -> None:
    say(owner, "pump-1", "rpm", system="heating")
    move(owner, "{north,hall-1}", "{south}", "2026-01-02Z")
    assert standing(owner)["pump-1"] == "south/hall-1/heating/-"
    assert standing(owner, metric="temperature")["pump-1"] == "south/hall-1/cooling/-"
    said: list[str | None] = []
    owner.add_notice_handler(lambda notice: said.append(notice.message_primary))
    place(owner, "pump-1", None, "2026-01-03Z", "east")
    assert said == ["series of source 'pump-1' have places of their own, and stay there: rpm, temperature"]
    owner.execute("DELETE FROM placements WHERE source = 'pump-1' AND metric IS NOT NULL")
    assert standing(owner)["pump-1"] == standing(owner, metric="temperature")["pump-1"] == "east/-/-/-"


def test_what_stands_apart_until_its_source_is_put_elsewhere_is_not_moved_before(
    owner: psycopg.Connection[Any],
) -> None:
    say(owner, "pump-1", "rpm", zone="hall-2")
    place(owner, "pump-1", None, "2026-01-03Z", "east")
    with pytest.raises(errors.InvalidParameterValue, match="'temperature' of source 'pump-1' stands apart"):
        move(owner, "{north,hall-1}", "{south}", "2026-01-02Z")
    move(owner, "{north,hall-1}", "{south}", "2026-01-03Z")
    assert standing(owner)["pump-1"] == "east/-/-/-"


def test_a_move_in_the_past_holds_from_then_on(owner: psycopg.Connection[Any]) -> None:
    place(owner, "pump-5", None, "2026-01-05Z", "north", "hall-1", "mill")
    place(owner, "pump-1", None, "2026-01-06Z", "north", "hall-1")
    place(owner, "pump-3", None, "2026-01-07Z", "east")
    move(owner, "{north,hall-1}", "{south}", "2026-01-02Z")
    assert {at: standing(owner, f"2026-01-{at}Z") for at in ("01", "04", "08")} == {
        "01": {
            "pump-1": "north/hall-1/cooling/-",
            "pump-2": "north/hall-2/cooling/-",
            "pump-3": "north/hall-1/cooling/-",
            "pump-4": "south/hall-2/cooling/-",
            "pump-5": "-/-/-/-",
        },
        "04": {
            "pump-1": "south/hall-1/cooling/-",
            "pump-2": "north/hall-2/cooling/-",
            "pump-3": "south/hall-1/cooling/-",
            "pump-4": "south/hall-2/cooling/-",
            "pump-5": "-/-/-/-",
        },
        "08": {
            "pump-1": "south/hall-1/-/-",
            "pump-2": "north/hall-2/cooling/-",
            "pump-3": "east/-/-/-",
            "pump-4": "south/hall-2/cooling/-",
            "pump-5": "south/hall-1/mill/-",
        },
    }


def test_a_node_is_moved_nowhere_where_another_will_be_later(owner: psycopg.Connection[Any]) -> None:
    place(owner, "pump-5", None, "2026-01-05Z", "south", "hall-1")
    with pytest.raises(errors.InvalidParameterValue, match="there is a zone 'hall-1' in south already"):
        move(owner, "{north,hall-1}", "{south}", "2026-01-02Z")


def test_a_group_is_complete_once_it_is_closed_for_members_that_have_no_row_too(
    owner: psycopg.Connection[Any],
) -> None:
    owner.execute("UPDATE series SET home_partition = 1 WHERE source = 'pump-3'")
    owner.execute(
        "DELETE FROM readings USING series WHERE readings.series_id = series.series_id AND source = 'pump-3'"
    )
    owner.execute(
        "DELETE FROM rollup_closed_1h USING series"
        " WHERE rollup_closed_1h.series_id = series.series_id AND source = 'pump-3'"
    )
    place(owner, "pump-1", None, "2026-01-01 12:00Z", "south")
    told = (
        "SELECT series, members, complete, count(*) FROM"
        " group_rollup('1h', 'rpm', '2026-01-01', '2026-01-02', '{north}') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    assert owner.execute(told).fetchall() == [(1, 2, False, 12), (2, 3, False, 12)]
    owner.execute(
        "INSERT INTO progress (topic, partition, epoch, next_offset, owner, session, released_to)"
        " VALUES ('readings', 1, 1, 0, 'me', 'me', '2026-01-01 06:00Z')"
    )
    assert owner.execute(told).fetchall() == [(1, 2, False, 12), (2, 3, False, 6), (2, 3, True, 6)]


@pytest.mark.parametrize(
    ("node", "into", "said"),
    [
        ("{north,hall-1}", None, "nothing can be moved into NULL"),
        ("{north,hall-1}", '{""}', "nothing can be moved into"),
        (None, "{south}", "NULL is no node below a tenant"),
        ("{north}", "{north,hall-1}", "north cannot be moved into north/hall-1, which is a part of it"),
        ("{north,hall-1}", "{north,hall-1,cooling}", "cannot be moved into .*, which is a part of it"),
        ("{north}", "{north}", "north cannot be moved into north, which is itself"),
        ("{north}", "{south}", "north is a site, and stands in no site"),
        ("{north,hall-1}", "{south,hall-2,cooling}", "north/hall-1 is a zone, and stands in no system"),
        ("{north,hall-2}", "{south}", "there is a zone 'hall-2' in south already"),
        ("{}", "{south}", "'' is no node below a tenant"),
    ],
)
def test_a_node_is_moved_nowhere_where_it_cannot_stand(
    node: str | None, into: str | None, said: str, owner: psycopg.Connection[Any]
) -> None:
    before = standing(owner)
    with pytest.raises(errors.InvalidParameterValue, match=said):
        owner.execute("SELECT move_node('default', %s, %s)", (node, into))
    assert standing(owner) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (f"'2h', 'rpm', {DAYS}", "no rollups of level '2h'"),
        (f"'1h', 'rpm', {DAYS}, by => 'hall'", "no level 'hall'"),
        (f"'1h', 'rpm', {DAYS}, '{{a,b,c,d,e}}'", "no node"),
        (f"NULL, 'rpm', {DAYS}", "no rollups of level NULL"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: str, said: str, owner: psycopg.Connection[Any]) -> None:
    with pytest.raises(errors.InvalidParameterValue, match=said):
        grouped(owner, arguments)


def test_the_program_shows_places_and_moves(
    database: str, owner: psycopg.Connection[Any], tmp_path: Path
) -> None:
    def run(*words: str) -> Any:
        done = streamgauge(database, "hierarchy", *words, "--json")
        assert done.returncode == 0, done.stderr
        return orjson.loads(done.stdout)

    file = tmp_path / "places.csv"
    file.write_text("source,site,zone,since\npump-5,west,hall-1,ever\npump-9,west,,\n", encoding="utf-8")
    assert run("place", "--file", str(file))["placed"] == 2
    assert run("place", "pump-1", "west/hall-2", "--metric", "rpm") == {"placed": 1, "warnings": []}
    assert run("move", "west/hall-1", "south", "--since", "2026-01-02") == {"moved": 1}
    assert run("show", "west", "--at", "2026-01-01")[0]["sources"] == 1
    assert standing(owner)["pump-5"] == "south/hall-1/-/-"
    refused = streamgauge(database, "hierarchy", "move", "south", "south/hall-1")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: south cannot be moved into south/hall-1, which is a part of it")
    shown = streamgauge(database, "hierarchy", "show")
    assert "north/hall-2/cooling" in shown.stdout
