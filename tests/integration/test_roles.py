"""Who may do what: analysts read what is documented for them, workers write, and nobody else anything."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from tests.databases import as_reader, as_writer

pytestmark = pytest.mark.stack

READER = {
    "readings": "r",
    "series": "r",
    "reading_versions": "r",
    "producers": "r",
    "producer_gaps": "r",
    "halts": "r",
    "resumptions": "r",
    "readings_named": "r",
    "pipeline_progress": "r",
    "outbox_state": "r",
    "late_readings": "r",
    **dict.fromkeys(
        ("rollup_1m", "rollup_15m", "rollup_1h", "rollup_1d", "rollup_state", "rollup_levels"), "r"
    ),
    **dict.fromkeys(("metrics", "v_gaps"), "r"),
    **dict.fromkeys(
        ("series_places", "series_closed", "rollup_sketches", "sketch_marks", "group_blocks"), "r"
    ),
    "latest": "r",
    "series_catalogue": "r",
    **dict.fromkeys(("forecasts_named", "forecast_scores", "forecast_calibration"), "r"),
    **dict.fromkeys(("anomalies", "anomalies_named"), "r"),
    "derived_state": "r",
}
READER_FUNCTIONS = {
    "open_since",
    "is_open_since",
    "recently",
    "usable",
    "reaching",
    "series",
    "buckets",
    "history",
    "gapfill",
    "locf",
    "interpolate",
    "changes",
    "delta",
    "rate",
    "time_weighted_avg",
    "lttb",
    "asof_join",
    "gaps",
    "coverage",
    "members",
    "group_rollup",
    "sketch_key",
    "sketch_value",
    "sketch_of",
    "percentile",
    "merged",
    "merge_sketches",
    "series_quantiles",
    "group_quantiles",
    "group_span",
    "member_sets",
    "group_made",
    "group_sketched",
    "group_rows",
}
WRITER = {
    "readings": "ar",
    "series": "arw",
    "tenants": "arw",
    "progress": "arw",
    "dead_letters": "ar",
    "schema_migrations": "r",
    "reading_versions": "ar",
    "producers": "arwd",
    "producer_journal": "arwd",
    "dirty_buckets": "ard",
    "late_readings": "arw",
    "anomalies": "arw",
    "anomaly_labels": "ar",
    "detection": "arwd",
    "detector_states": "ard",
    "producer_gaps": "r",
    "outbox": "ard",
    "raw_retention": "r",
    "series_retention": "r",
    "halts": "arw",
    "resumptions": "r",
    "readings_named": "r",
    "pipeline_progress": "r",
    "outbox_state": "r",
    **dict.fromkeys(("rollup_closed_1m", "rollup_closed_15m", "rollup_closed_1h", "rollup_closed_1d"), "ard"),
    **dict.fromkeys(("rollup_1m", "rollup_15m", "rollup_1h", "rollup_1d"), "r"),
    **dict.fromkeys(("rollup_marks", "rollup_levels", "rollup_state"), "r"),
    "placements": "arwd",
    **dict.fromkeys(("places_held", "series_places"), "r"),
    **dict.fromkeys(("rollup_sketches", "sketch_marks"), "arwd"),
    "forecasts": "ar",
    "forecast_hours": "r",
    "derived_metrics": "arw",
    **dict.fromkeys(("derived_results", "derived_marks", "derived_homes"), "arwd"),
    "derived_state": "r",
    **dict.fromkeys(("sketch_levels", "metrics", "series_closed"), "r"),
    **dict.fromkeys(("group_blocks", "group_work"), "ard"),
    "group_sweep": "rw",
}
LETTERS = {"INSERT": "a", "SELECT": "r", "UPDATE": "w", "DELETE": "d", "TRUNCATE": "D"}


def rights(database: str, role: str) -> dict[str, str]:
    """Return what ``role`` may do with each table and view, in PostgreSQL's letters."""
    found: dict[str, str] = {}
    with psycopg.connect(database) as connection:
        for privilege, letter in LETTERS.items():
            for (name,) in connection.execute(
                """
                SELECT relname FROM pg_class
                WHERE relnamespace::regnamespace::text IN ('public', 'tenant') AND relkind IN ('r', 'v', 'm')
                  AND has_table_privilege(%s, oid, %s)
                """,
                (role, privilege),
            ):
                found[name] = found.get(name, "") + letter
    return found


def functions(database: str, role: str) -> set[str]:
    """Return which of this program's functions ``role`` may call."""
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            """
            SELECT proname FROM pg_proc AS p
            WHERE pronamespace::regnamespace::text IN ('public', 'tenant')
              AND has_function_privilege(%s, p.oid, 'EXECUTE')
              AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
            """,
            (role,),
        )
        return {name for (name,) in rows}


def test_analysts_read_what_is_documented_for_them_and_nothing_else(database: str) -> None:
    assert rights(database, "streamgauge_reader") == READER
    assert functions(database, "streamgauge_reader") == READER_FUNCTIONS


def test_workers_write_what_they_need_and_delete_nothing(database: str) -> None:
    assert rights(database, "streamgauge_writer") == WRITER
    assert functions(database, "streamgauge_writer") == {
        "find_series",
        "register_series",
        "end_abandoned_sessions",
        "claim_partition",
        "advance_progress",
        "latest_times_of_series",
        "unreleased_readings",
        "mark_rollup_history",
        "open_since",
        "is_open_since",
        "place_series",
        "move_node",
        "readings_kept_from",
        "usable",
        "sketch_key",
        "sketched",
        "extend_sketches",
        "refresh_sketches",
        "fits",
        "microseconds",
        "members",
        "series_quantiles",
        "merge_sketches",
        "merged",
        "sketch_of",
        "group_span",
        "member_sets",
        "group_made",
        "group_sketched",
        "extend_groups",
        "extend_groups_of",
        "forget_groups",
    }


def test_nobody_else_sees_anything(database: str) -> None:
    assert rights(database, "pg_monitor") == {}
    assert functions(database, "pg_monitor") == set()


@pytest.fixture
def analyst(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(as_reader(database), autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    "forbidden",
    [
        "SELECT payload FROM dead_letters",
        "SELECT key FROM dead_letters",
        "SELECT * FROM outbox",
        "SELECT epoch FROM progress",
        "SELECT * FROM tenants",
        "SELECT claim_partition('readings', 0, 'me', 0, 9, 'id')",
        "SELECT end_abandoned_sessions()",
        "SET TRANSACTION READ WRITE; INSERT INTO readings VALUES (now(), 1, 1, 0)",
        "SET TRANSACTION READ WRITE; CREATE TABLE mine ()",
    ],
)
def test_an_analyst_is_refused(analyst: psycopg.Connection, forbidden: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        analyst.execute(forbidden.encode())


def test_an_analyst_is_limited_to_reading_and_to_five_minutes(analyst: psycopg.Connection) -> None:
    assert analyst.execute("SHOW statement_timeout").fetchone() == ("5min",)
    assert analyst.execute("SHOW default_transaction_read_only").fetchone() == ("on",)


def test_a_worker_may_neither_delete_nor_change_readings(database: str) -> None:
    with psycopg.connect(as_writer(database), autocommit=True) as worker:
        for forbidden in (
            "DELETE FROM readings",
            "UPDATE readings SET ts = now()",
            "DELETE FROM dead_letters",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                worker.execute(forbidden.encode())


def test_values_that_are_no_numbers_are_null_to_an_analyst(
    database: str, analyst: psycopg.Connection
) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("INSERT INTO series (tenant, source, metric) VALUES ('t', 's', 'm')")
        owner.execute(
            "INSERT INTO readings SELECT now(), value, series_id, 2 FROM series,"
            " unnest('{1.5, NaN, Infinity, -Infinity, 1e308, -1e308}'::float8[]) AS value WHERE metric = 'm'"
        )
    seen = analyst.execute("SELECT value FROM readings_named ORDER BY value NULLS LAST").fetchall()
    assert seen == [(-1e308,), (1.5,), (1e308,), (None,), (None,), (None,)]
