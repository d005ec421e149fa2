"""Readers of a tenant see all that it has, as analysts do, and nothing of another however they ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors

from sinks.timescale.levels import apply_levels
from streams.core.levels import parse_levels
from streams.core.rollup import LEVELS_US
from tests.databases import as_reader, role_of, tenant_reader

pytestmark = pytest.mark.stack

SECRETS = ("sesame-", "6661377137")
"""Text and number that stand in all that the other tenant, "sesame", has, and in nothing else.

Frequencies in statistics have the digits of shorter numbers.
"""

OF_NUMBERS = (
    "readings",
    "reading_versions",
    "anomalies",
    "series_closed",
    "rollup_sketches",
    "sketch_marks",
)
"""Views that know series by their numbers alone."""

VIEWS = (
    *("series", "readings", "readings_named", "reading_versions", "producers", "producer_gaps"),
    *(
        "metrics",
        "v_gaps",
        "anomalies",
        "anomalies_named",
        "series_closed",
        "series_places",
        "rollup_sketches",
        "sketch_marks",
        "derived_state",
        "group_blocks",
        "latest",
        "series_catalogue",
        "rollup_1m",
        "rollup_15m",
        "rollup_1h",
        "rollup_1d",
    ),
    *("forecasts_named", "forecast_scores", "forecast_calibration"),
)
ASKED = "'2026-01-01', '2026-01-02'"
FILL = """
    INSERT INTO series (tenant, source, metric, attributes)
    SELECT tenant, tenant || '-pump-' || n, 'rpm', jsonb_build_object('site', tenant)
    FROM generate_series(1, 3) AS n, unnest('{sesame, acme}'::text[]) AS tenant;
    INSERT INTO readings (ts, value, series_id, quality)
    SELECT timestamptz '2026-01-01 00:00Z' + n * INTERVAL '1 hour',
           CASE tenant WHEN 'acme' THEN n ELSE 6661377137 END, series_id,
           CASE tenant WHEN 'acme' THEN 0 ELSE 1 END
    FROM series, generate_series(0, 47) AS n;
    INSERT INTO reading_versions (series_id, ts, revision, value, quality)
    SELECT series_id, ts, 1, value, quality FROM readings;
    INSERT INTO producers (topic, partition, tenant, producer, epoch, seen, last_seen)
    SELECT 'readings', 0, tenant, tenant || '-gateway', 1, '{[1,4),[6661377137,6661377200)}', now()
    FROM unnest('{sesame, acme}'::text[]) AS tenant;
    UPDATE producers SET seen = '{[1,4),[6,9)}' WHERE tenant = 'acme';
    INSERT INTO progress (topic, partition, epoch, next_offset, owner, session, released_to)
    VALUES ('readings', 0, 1, 0, 'me', 'me', '2026-01-02 00:00Z');
    UPDATE series SET home_topic = 'readings', home_partition = 0;
    INSERT INTO rollup_closed_1m (bucket, readings, bad, sum, min, max, first, first_at, last, last_at,
                                  m2, increase, integral, series_id)
    SELECT ts, 1, 0, value, value, value, value, ts, value, ts, 0, 0, 0, series_id
    FROM readings WHERE ts < '2026-01-02 00:00Z';
    INSERT INTO rollup_closed_1h (bucket, readings, bad, sum, min, max, first, first_at, last, last_at,
                                  m2, increase, integral, series_id)
    SELECT ts, 1, 0, value, value, value, value, ts, value, ts, 0, 0, 0, series_id
    FROM readings WHERE ts < '2026-01-02 00:00Z';
    INSERT INTO forecasts (bucket, issued_at, p10, p50, p90, error, scale, series_id, model)
    SELECT ts, '2026-01-01 00:00Z', value, value, value, value, value, series_id, s.source
    FROM readings JOIN series AS s USING (series_id);
    INSERT INTO dead_letters (topic, partition, "offset", index, reason, detail, payload, payload_bytes)
    VALUES ('readings', 0, 0, -1, 'malformed', 'sesame', '6661377137', 5);
    INSERT INTO outbox (event_id, topic, value) VALUES ('sesame', 'readings', '6661377137');
    INSERT INTO placements (tenant, source, site, zone, since)
    SELECT tenant, tenant || '-pump-1', tenant, tenant || '-zone', '2026-01-01 12:00Z'
    FROM unnest('{sesame, acme}'::text[]) AS tenant;
    INSERT INTO metrics (tenant, metric, unit, expected_every, quantiles)
    VALUES ('acme', 'rpm', '1/min', '1 hour', true), ('sesame', 'rpm', 'sesame-', '1 hour', true);
    SELECT extend_sketches();
    INSERT INTO anomalies (started_at, peak_at, score, surprise, statistic, observed, expected, band, episode,
                           series_id, revision, severity, direction, state, detector, reason, parameters)
    SELECT CASE tenant WHEN 'acme' THEN timestamptz '2026-01-01 12:00Z' ELSE '2026-01-01 18:00Z' END,
           '2026-01-01 12:00Z', 0.99, 2, 9,
           CASE tenant WHEN 'acme' THEN 7 ELSE 6661377137 END, 0, 1, gen_random_uuid(), series_id,
           0, 2, 1, 'open', tenant || '-detector', tenant || '-signal', 'same'
    FROM series;
    INSERT INTO derived_metrics (tenant, metric, expression, inputs, level, per, since)
    SELECT tenant, tenant || '-load', 'mean(rpm)', '{rpm}', '1h', 'source', '2026-01-01Z'
    FROM unnest('{sesame, acme}'::text[]) AS tenant;
    INSERT INTO derived_results (derived_id, bucket, source, value, revision)
    SELECT derived_id, '2026-01-01Z', tenant || '-pump-1', 1, 0 FROM derived_metrics;
    INSERT INTO group_blocks
    SELECT tenant, 'rpm', 60, '2026-01-01Z', '00000000-0000-0000-0000-000000000000',
           ARRAY[(ts, 1, 1, 0, value, value, value, value, source, source, NULL, NULL)::group_row]
    FROM readings JOIN series USING (series_id) WHERE source LIKE '%-1' AND ts = '2026-01-01Z';
    INSERT INTO tenants SELECT tenant, count(*) FROM series GROUP BY tenant;
    ANALYZE;
"""
TELL = """
    SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE;
    COMMIT;
    CREATE FUNCTION pg_temp.tell(seen text) RETURNS boolean LANGUAGE plpgsql COST 0.000000001
    AS 'BEGIN RAISE NOTICE ''%'', seen; RETURN true; END';
    CREATE FUNCTION pg_temp.tell(seen text, other text) RETURNS boolean LANGUAGE plpgsql COST 0.000000001
    AS 'BEGIN RAISE NOTICE ''%'', seen; RETURN true; END';
    CREATE OPERATOR pg_temp.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_temp.tell);
"""


@pytest.fixture(scope="module")
def filled(database: str) -> str:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(FILL)
    return database


@pytest.fixture(scope="module")
def acme(filled: str) -> Iterator[str]:
    with tenant_reader(filled, "acme") as dsn:
        yield dsn


@pytest.fixture(scope="module")
def rival(filled: str) -> Iterator[str]:
    with tenant_reader(filled, "sesame") as dsn:
        yield dsn


class Curious:
    """A session that keeps all that it is shown: rows, notices, errors."""

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self.session = session
        self.seen: list[str] = []
        self.said: list[str] = []
        session.add_notice_handler(lambda notice: self.said.append(notice.message_primary or ""))

    def ask(self, question: str, *values: object) -> None:
        """Ask, and remember what is answered, or why it is refused."""
        try:
            if question.startswith("COPY"):
                with self.session.cursor().copy(question.encode()) as rows:
                    self.seen += [bytes(row).decode() for row in rows]
            else:
                found = self.session.execute(question.encode(), values or None)
                self.seen += [str(row) for row in found] if found.description else []
        except psycopg.Error as error:
            said = error.diag
            self.said += [
                said.message_primary or str(error),
                said.message_detail or "",
                said.message_hint or "",
            ]

    @property
    def secrets(self) -> list[str]:
        return [line for line in self.seen + self.said if any(secret in line for secret in SECRETS)]


@pytest.fixture
def curious(acme: str) -> Iterator[Curious]:
    with psycopg.connect(acme, autocommit=True) as session:
        session.execute(TELL)
        yield Curious(session)


def rows(dsn: str, question: LiteralString) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as session:
        return session.execute(question).fetchall()


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_what_is_the_tenants(view: str, filled: str, acme: str) -> None:
    own = "tenant = 'acme'"
    if view in (
        "readings",
        "reading_versions",
        "anomalies",
        "series_closed",
        "rollup_sketches",
        "sketch_marks",
    ):
        own = f"series_id IN (SELECT series_id FROM series WHERE {own})"
    # What is computed when it is asked for says when that was.
    content = "(to_jsonb(t) - '{refreshed_at, silent_to, lasts}'::text[])::text"
    question = f"SELECT {content} FROM {view} AS t WHERE %s ORDER BY 1"
    with psycopg.connect(filled) as owner, psycopg.connect(acme) as reader:
        seen = reader.execute((question % "true").encode()).fetchall()
        assert seen == owner.execute((question % own).encode()).fetchall() != []


@pytest.mark.parametrize(
    "call",
    [
        f"history(series('acme-pump-1', 'rpm'), {ASKED})",
        *(
            f"{name}(series('acme-pump-1', 'rpm'), {ASKED}, '5 hours')"
            for name in ("gapfill", "locf", "interpolate", "delta", "rate", "changes", "time_weighted_avg")
        ),
        f"lttb(series('acme-pump-1', 'rpm'), {ASKED}, 10)",
        f"asof_join(series('acme-pump-1', 'rpm'), series('acme-pump-2', 'rpm'), {ASKED})",
        f"gaps({ASKED}, 0.5) WHERE tenant = 'acme'",
        f"coverage({ASKED}) WHERE tenant = 'acme'",
        f"group_rollup('1m', 'rpm', {ASKED}, '{{acme}}', 'zone')",
        f"group_quantiles('1m', 'rpm', {ASKED}, '{{acme}}', 'zone')",
        f"series_quantiles('1m', 'rpm', {ASKED}, '{{acme-pump-1}}')",
        f"(SELECT source, zone FROM members('rpm', {ASKED}, '{{acme}}', 'zone')) AS m",
    ],
)
def test_a_function_answers_a_tenant_as_it_answers_analysts(call: str, filled: str, acme: str) -> None:
    with psycopg.connect(as_reader(filled)) as analyst, psycopg.connect(acme) as reader:
        answer = reader.execute(f"SELECT * FROM {call} ORDER BY 1, 2".encode()).fetchall()
        assert answer
        of_analyst = call.replace("'rpm')", "'rpm', 'acme')").replace("'zone')", "'zone', tenant => 'acme')")
        of_analyst = of_analyst.replace("-1}')", "-1}', 'acme')")
        assert answer == analyst.execute(f"SELECT * FROM {of_analyst} ORDER BY 1, 2".encode()).fetchall()


def test_all_that_analysts_see_of_tenants_is_there(filled: str) -> None:
    of_tenants = """
        SELECT relname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE relnamespace = 'public'::regnamespace AND attname IN ('tenant', 'series_id')
          AND has_table_privilege('streamgauge_reader', c.oid, 'SELECT')
    """
    assert {name for (name,) in rows(filled, of_tenants)} == set(VIEWS)
    functions = """
        SELECT proname, proargtypes, prosecdef FROM pg_proc AS p
        WHERE pronamespace = %s::regnamespace AND has_function_privilege(%s, oid, 'EXECUTE')
          AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
    """
    with psycopg.connect(filled) as owner:
        of_analysts = owner.execute(functions, ("public", "streamgauge_reader")).fetchall()
        theirs = owner.execute(functions, ("tenant", "streamgauge_tenant")).fetchall()
    assert len(of_analysts) >= 13
    of_plans = {function for function in of_analysts if function[2]}
    assert {name for name, *_ in of_plans} == {"open_since", "is_open_since", "recently"}
    assert {name for name, *_ in set(theirs) - set(of_analysts)} == {"measured", "mine"}
    assert set(theirs) >= set(of_analysts) - of_plans


def test_a_tenants_reader_has_rights_in_its_schema_alone(filled: str, acme: str) -> None:
    allowed = """
        SELECT relnamespace::regnamespace::text, relname FROM pg_class
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
          AND (has_any_column_privilege(%(role)s, oid, 'SELECT, INSERT, UPDATE, REFERENCES')
               OR has_table_privilege(%(role)s, oid, 'DELETE, TRUNCATE, TRIGGER'))
          AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
          AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
    """
    with psycopg.connect(filled) as owner:
        found = set(owner.execute(allowed, {"role": role_of(acme)}).fetchall())
    assert found == {("tenant", name) for name in (*VIEWS, "reader", "rollup_levels")}


def test_every_view_is_a_barrier_and_no_function_has_other_rights(filled: str) -> None:
    open_views = """
        SELECT relname FROM pg_class WHERE relnamespace = 'tenant'::regnamespace
          AND NOT coalesce(reloptions, '{}') @> '{security_barrier=true}'
    """
    definers = "SELECT proname FROM pg_proc WHERE pronamespace = 'tenant'::regnamespace AND prosecdef"
    assert rows(filled, open_views) == rows(filled, definers) == []


def test_whatever_is_read_in_the_database_nothing_of_another_is_seen(curious: Curious) -> None:
    """Tables, chunks, views, catalogs, statistics, those of TimescaleDB among them."""
    relations = curious.session.execute(
        "SELECT format('%I.%I', relnamespace::regnamespace, relname) FROM pg_class"
        " WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')"
    ).fetchall()
    assert sum("_hyper_" in name for (name,) in relations) >= 2
    for (name,) in relations:
        curious.ask(f"SELECT t::text FROM {name} AS t")
    assert [line for line in curious.seen + curious.said if "sesame" in line] == curious.secrets == []
    assert any("acme" in line for line in curious.seen)
    assert any("permission denied for table dead_letters" in line for line in curious.said)


@pytest.mark.parametrize("view", VIEWS)
def test_functions_and_operators_of_ones_own_are_told_nothing(view: str, curious: Curious) -> None:
    for condition in (
        "pg_temp.tell(t::text)",
        "t::text OPERATOR(pg_temp.===) ''",
        "CASE WHEN pg_temp.tell(t::text) THEN true END",
        "t::text::integer > 0",
    ):
        curious.ask(f"SELECT count(*) FROM {view} AS t WHERE {condition}")
        curious.ask(f"SELECT 1 FROM {view} AS t JOIN series AS s ON {condition}")
        curious.ask(f"EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM {view} AS t WHERE {condition}")
    assert curious.secrets == []
    assert len(curious.said) > 4


def test_the_same_tricks_show_all_where_a_view_is_no_barrier(filled: str, curious: Curious) -> None:
    with psycopg.connect(filled, autocommit=True) as owner:
        owner.execute("ALTER VIEW tenant.readings_named SET (security_barrier = off)")
        try:
            curious.ask("SELECT 1 FROM readings_named WHERE pg_temp.tell(source)")
        finally:
            owner.execute("ALTER VIEW tenant.readings_named SET (security_barrier = on)")
    assert curious.secrets


MEASURED = [
    *((view, "value") for view in ("readings", "readings_named", "reading_versions", "latest")),
    *((view, "quality") for view in ("readings", "readings_named", "reading_versions", "latest")),
    *(("forecasts_named", of) for of in ("p50", "scale")),
    *((view, "started_at") for view in ("anomalies", "anomalies_named")),
    *(("forecast_scores", of) for of in ("actual", "pinball")),
    *(("rollup_1m", of) for of in ("mean", "min", "max", "sum", "first", "last", "time_weighted_mean")),
]


GUESSES = {
    "quality": ("1", "2"),
    "started_at": ("'2026-01-01 15:00Z'", "'2026-01-02 15:00Z'"),
}


def counted(plan: dict[str, Any]) -> list[Any]:
    """Return how many rows each node of a plan had, and how many it passed by."""
    own = [(key, plan[key]) for key in sorted(plan) if "Rows" in key or "Loops" in key]
    return [own, *map(counted, plan.get("Plans", []))]


def guessed(session: psycopg.Connection[Any], view: str, column: str) -> list[list[Any]]:
    """Return what plans tell of a guess that is true of all that another tenant has, and of a false one."""
    explain = "EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT JSON)"
    guesses = GUESSES.get(column, ("6661377137", "6661377138"))
    return [
        counted(plan[0]["Plan"])
        for guess in guesses
        for (plan,) in session.execute(f"{explain} SELECT * FROM {view} WHERE {column} >= {guess}".encode())
    ]


@pytest.mark.parametrize("setting", ["enable_hashjoin", "enable_nestloop"])
@pytest.mark.parametrize(("view", "column"), MEASURED)
def test_a_plan_counts_the_same_rows_whatever_is_guessed_of_the_values_of_others(
    view: str, column: str, setting: str, curious: Curious
) -> None:
    curious.session.execute(f"SET {setting} TO off".encode())
    right, wrong = guessed(curious.session, view, column)
    assert right == wrong


def test_how_many_readings_are_bad_is_hidden_as_their_quality_is(filled: str) -> None:
    ((defined,),) = rows(filled, "SELECT pg_get_viewdef('tenant.rollup_1m'::regclass)")
    assert "tenant.measured(bad) AS bad" in defined


@pytest.mark.parametrize("view", ["readings", "reading_versions", "rollup_1m"])
def test_the_same_guess_is_told_where_conditions_on_values_are_moved(
    view: str, filled: str, curious: Curious
) -> None:
    curious.session.execute("SET enable_nestloop TO off")
    with psycopg.connect(filled, autocommit=True) as owner:
        owner.execute("ALTER FUNCTION tenant.measured(anyelement) STABLE")
        try:
            right, wrong = guessed(curious.session, view, "max" if view == "rollup_1m" else "value")
        finally:
            owner.execute("ALTER FUNCTION tenant.measured(anyelement) VOLATILE")
    assert right != wrong


def test_an_error_does_not_tell_of_another(curious: Curious) -> None:
    """A value that is looked for by dividing by what is left of it."""
    for view in ("readings", "readings_named", "latest", "reading_versions"):
        curious.ask(f"SELECT 1 / (value - 66000 - 613) FROM {view}")
        curious.ask(f"SELECT 1 FROM {view} WHERE 1 / (value - 66000 - 613) < 9")
    assert curious.said == []
    curious.ask("SELECT 1 FROM readings WHERE 1 / (value - 7) < 9")
    assert curious.said[:1] == ["division by zero"]


def test_when_another_measured_something_is_not_told_by_marks_of_a_partition_that_both_share(
    filled: str, curious: Curious
) -> None:
    answers = []
    with psycopg.connect(filled, autocommit=True) as owner:
        for at in ("2026-01-02 00:00Z", "2026-01-02 00:00:17.136661Z"):
            owner.execute("UPDATE progress SET released_to = %s", (at,))
            curious.seen.clear()
            for view in ("series_closed", f"members('rpm', {ASKED})", f"group_rollup('1m', 'rpm', {ASKED})"):
                curious.ask(f"SELECT t::text FROM {view} AS t ORDER BY 1")
            answers.append(list(curious.seen))
        owner.execute("UPDATE progress SET released_to = '2026-01-02Z'")
    assert answers[0] == answers[1] != []
    assert curious.said == []


def test_series_of_another_answer_like_those_that_do_not_exist(filled: str, curious: Curious) -> None:
    (of_another,) = rows(filled, "SELECT series_id FROM series WHERE source = 'sesame-pump-1'")[0]
    answers = []
    for number in (of_another, 999_999):
        curious.seen.clear()
        for call in (
            f"history({number}, {ASKED})",
            f"gapfill({number}, {ASKED}, '1 day')",
            f"lttb({number}, {ASKED}, 9)",
            f"asof_join({number}, {number}, {ASKED})",
            f"rate({number}, {ASKED})",
        ):
            curious.ask(f"SELECT * FROM {call}")
        answers.append(list(curious.seen))
    assert answers[0] == answers[1] != []
    assert curious.said == []
    for name in ("sesame", "nobody"):
        curious.ask(f"SELECT series('{name}-pump-1', 'rpm', '{name}')")
    of_another, of_nobody = (line for line in curious.said if line.startswith("there is no series"))
    assert of_another.replace("sesame", "nobody") == of_nobody


@pytest.mark.parametrize(
    "attempt",
    [
        "SELECT set_config('streamgauge.tenant', 'sesame', false), set_config('tenant', 'sesame', false)",
        "SET streamgauge.tenant TO 'other'; SET tenant.mine TO 'other'; SET session.tenant TO 'other'",
        "SET search_path TO public",
        "SET search_path TO pg_temp, public, tenant",
        "SET row_security TO off",
        "SET ROLE streamgauge_tenant",
        "SET ROLE streamgauge_reader",
        "SET ROLE streamgauge_owner",
        "SET ROLE {rival}",
        "SELECT set_config('role', '{rival}', false)",
        "SET SESSION AUTHORIZATION {rival}",
        "SELECT set_config('session_authorization', '{rival}', false)",
        "CREATE TEMP TABLE tenant_readers AS SELECT '{acme}'::regrole AS reader, 'sesame' AS tenant",
        "CREATE TEMP VIEW reader AS SELECT 'sesame' AS tenant",
        "CREATE FUNCTION pg_temp.quote_ident(text) RETURNS text RETURN '{rival}'",
        "CREATE OR REPLACE FUNCTION tenant.mine() RETURNS text RETURN 'sesame'",
        "CREATE OR REPLACE VIEW tenant.reader AS SELECT 'sesame' AS tenant",
        "ALTER VIEW tenant.readings SET (security_barrier = off)",
        "ALTER ROLE {acme} RENAME TO {rival}",
        "UPDATE tenant.reader SET tenant = 'sesame'",
        "UPDATE tenant.series SET tenant = 'acme'",
        "INSERT INTO tenant_readers VALUES ('{acme}', 'sesame')",
        "UPDATE public.tenant_readers SET tenant = 'sesame'",
        "SELECT public.bind_reader('{acme}', 'sesame')",
        "SELECT public.show_to_tenants('public.dead_letters'::regclass)",
        "GRANT streamgauge_reader TO {acme}",
        "SELECT * FROM public.history(1, '2026-01-01', '2026-01-02')",
        "SELECT * FROM gaps('2026-01-01', '2026-01-02', 0.1)",
        "SELECT * FROM coverage('2026-01-01', '2026-01-03')",
        "SELECT * FROM group_rollup('1m', 'rpm', '2026-01-01', '2026-01-03', tenant => 'sesame')",
        "SELECT * FROM group_rollup('1m', 'rpm', '2026-01-01', '2026-01-03', '{sesame}', tenant => 'sesame')",
        "SET search_path TO public;"
        " SELECT * FROM tenant.group_rollup('1m', 'rpm', '2026-01-01', '2026-01-03', tenant => 'sesame')",
        "SELECT * FROM series_quantiles('1m', 'rpm', '2026-01-01', '2026-01-03', tenant => 'sesame')",
        "SELECT * FROM group_quantiles('1m', 'rpm', '2026-01-01', '2026-01-03', tenant => 'sesame')",
        "SELECT public.extend_sketches()",
        "SELECT * FROM public.sketched(1, 60, NULL, '2026-01-01', '2026-01-03')",
        "SELECT public.place_series('acme', 'sesame-pump-1', 'rpm', 'acme')",
        "SELECT public.move_node('sesame', '{sesame}', '{}', as_name => 'acme')",
        "SET search_path TO public; SELECT * FROM tenant.gaps('2026-01-01', '2026-01-02', 0.1)",
        "SET search_path TO public; SELECT * FROM tenant.coverage('2026-01-01', '2026-01-03')",
        "SELECT query_to_xml('SELECT * FROM public.readings_named', true, true, '')",
        "SELECT schema_to_xml('public', true, true, '')",
        "SELECT pg_read_file('PG_VERSION')",
        "COPY public.readings TO STDOUT",
        "COPY tenant.readings TO STDOUT",
        "COPY (SELECT * FROM tenant.readings_named) TO STDOUT",
        "COPY (SELECT * FROM public.readings_named) TO STDOUT",
        "COPY tenant.readings TO PROGRAM 'cat'",
    ],
)
def test_no_attempt_shows_another_tenant(attempt: str, acme: str, rival: str, curious: Curious) -> None:
    curious.ask(attempt.replace("{acme}", role_of(acme)).replace("{rival}", role_of(rival)))
    for view in VIEWS:
        curious.ask(f"SELECT t::text FROM tenant.{view} AS t")
        curious.ask(f"SELECT t::text FROM {view} AS t")
    assert curious.secrets == []
    whose = curious.session.execute("SELECT tenant.mine(), tenant FROM tenant.reader").fetchall()
    assert whose == ([] if attempt == "SET ROLE streamgauge_tenant" else [("acme", "acme")])


def test_a_new_level_of_rollups_is_shown_and_one_given_up_is_not(filled: str, acme: str) -> None:
    question = "SELECT DISTINCT tenant FROM rollup_10s"
    apply_levels(filled, parse_levels("10s,1m,15m,1h,1d"))
    assert rows(acme, question) == [("acme",)]
    apply_levels(filled, LEVELS_US)
    with pytest.raises(errors.UndefinedTable):
        rows(acme, question)
    assert rows(acme, "SELECT DISTINCT tenant FROM rollup_1m") == [("acme",)]
