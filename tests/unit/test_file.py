"""Files of one series, and the verbs that answer about them without a stack."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from jobs.cli.main import app
from jobs.forecast.file import read_file
from streams.errors import UserError
from tests.forecasts import one_by_one

WAVE = 10 + np.sin(2 * np.pi * np.arange(240) / 24) + 0.02 * np.arange(240)


@pytest.fixture(autouse=True)
def _without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.forecast.pool.predict_all", one_by_one)


def written(directory: Path, values: np.ndarray, step_s: int = 3600) -> str:
    file = directory / "pump-1.csv"
    rows = (f"{1_767_225_600 + place * step_s},{value}\n" for place, value in enumerate(values))
    file.write_text("timestamp,value\n" + "".join(rows))
    return str(file)


def streamgauge(*words: str, expect: int = 0) -> str:
    done = CliRunner().invoke(app, ["forecast", *words])
    assert done.exit_code == expect, (done.output, done.exception)
    return done.output if not isinstance(done.exception, UserError) else str(done.exception)


def test_readings_become_hours(tmp_path: Path) -> None:
    end, hours = read_file(written(tmp_path, np.repeat([1.0, 2.0, 4.0], 12), step_s=300))

    assert end == datetime(2026, 1, 1, 3, tzinfo=UTC)
    np.testing.assert_array_equal(hours, [1.0, 2.0, 4.0])


def test_a_file_is_forecast_and_has_a_trend(tmp_path: Path) -> None:
    file = written(tmp_path, WAVE)
    shown = json.loads(streamgauge("show", "--file", file, "--hours", "12", "--json"))
    assert [hour["bucket"] for hour in shown["hours"]][:2] == [
        "2026-01-11T00:00:00+00:00",
        "2026-01-11T01:00:00+00:00",
    ]
    assert all(hour["p10"] <= hour["p50"] <= hour["p90"] for hour in shown["hours"])
    assert len(streamgauge("show", "--file", file).splitlines()) == 25

    found = json.loads(streamgauge("trend", "--file", file, "--limit", "15", "--hours", "24", "--json"))
    assert found["significant"] and found["per_day"] == pytest.approx(0.48, rel=0.02)
    assert "significant" in streamgauge("trend", "--file", file)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "no readings"),
        ([1.0, 2.0], "too few days"),
        ([np.nan, np.inf], "no readings"),
        ([1e300] * 200, "no readings"),
    ],
)
def test_too_little_is_an_error_that_says_why(values: list[float], said: str, tmp_path: Path) -> None:
    file = written(tmp_path, np.array(values))

    assert said in streamgauge("show", "--file", file, expect=1)
    assert "too few hours" in streamgauge("trend", "--file", file, expect=1)


def test_a_series_or_a_file_has_to_be_named(tmp_path: Path) -> None:
    assert "either" in streamgauge("show", expect=1)
    assert "either" in streamgauge("trend", "pump-1", "rpm", "--file", written(tmp_path, WAVE), expect=1)
