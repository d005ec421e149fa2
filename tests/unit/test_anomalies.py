"""A file of readings in, the same with scores out: whatever is in it, and without looking ahead."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from jobs import anomalies
from jobs.cli import main
from streams.core.detect.sentinel import REASONS
from streams.errors import UserError

HEADER = "timestamp,value"


def series(count: int = 300) -> list[str]:
    values = np.random.default_rng(1).normal(size=count)
    values[250:253] += 30.0
    day = "2024-05-{:02d} {:02d}:{:02d}:00"
    return [
        f"{day.format(1 + n // 288, n % 288 * 5 // 60, n * 5 % 60)},{value:.4f}"
        for n, value in enumerate(values.tolist())
    ]


def found(path: Path, lines: list[str], *options: str) -> list[dict[str, str]]:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    done = CliRunner().invoke(main.app, ["detect", str(path), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return list(csv.DictReader(done.stdout.splitlines()))


def test_every_row_comes_back_with_a_score_and_the_beginning_is_labelled(tmp_path: Path) -> None:
    rows = found(tmp_path / "pump.csv", [HEADER, *series()])

    assert [f"{row['timestamp']},{row['value']}" for row in rows] == series()
    assert list(rows[0]) == ["timestamp", "value", "anomaly_score", "label"]
    assert [number for number, row in enumerate(rows) if row["label"] == "1"] == [250]
    assert all(0.0 <= float(row["anomaly_score"]) <= 1.0 for row in rows)


@pytest.mark.parametrize("count", [0, 1, 250, 251, 299])
def test_what_is_found_in_a_prefix_is_a_prefix_of_what_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    whole = found(tmp_path / "pump.csv", [HEADER, *series()], "--explain")
    monkeypatch.setattr(anomalies, "BLOCK_ROWS", 7)

    assert found(tmp_path / "part.csv", [HEADER, *series()[:count]], "--explain") == whole[:count]


def test_explained_rows_say_what_was_unusual(tmp_path: Path) -> None:
    row = found(tmp_path / "pump.csv", [HEADER, *series()], "--explain")[250]

    assert (row["detector"], row["signal"]) in REASONS
    assert row["direction"] == "high"
    assert float(row["observed"]) > float(row["expected"]) + float(row["band"])


def test_rules_are_told_where_they_find_something(tmp_path: Path) -> None:
    lines = [f"{1_700_000_000 + 60 * number},{number % 60 * (number < 1600)}" for number in range(1700)]
    row = found(tmp_path / "pump.csv", [HEADER, *lines], "--rules", "stuck", "--explain")[1616]

    assert (row["label"], row["detector"], row["expected"]) == ("1", "flat_line", "")
    assert float(row["anomaly_score"]) > 0.9


@pytest.mark.parametrize("rules", ["fast", "value+rate"])
def test_rules_that_do_not_exist_are_refused(tmp_path: Path, rules: str) -> None:
    (tmp_path / "pump.csv").write_text(HEADER, encoding="utf-8")
    done = CliRunner().invoke(main.app, ["detect", str(tmp_path / "pump.csv"), "--rules", rules])

    assert isinstance(done.exception, UserError)


def test_a_plot_is_a_png(tmp_path: Path) -> None:
    found(tmp_path / "pump.csv", [HEADER, *series()], "--plot", str(tmp_path / "pump.png"))

    assert (tmp_path / "pump.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "values", [["5"] * 50, [""] * 50, ["nan"] * 50, ["1", "2"], [], ["1e300", "inf"] * 9]
)
def test_odd_series_have_rows_without_labels(tmp_path: Path, values: list[str]) -> None:
    lines = [f"{1_700_000_000 + 60 * number},{value}" for number, value in enumerate(values)]
    rows = found(tmp_path / "odd.csv", [HEADER, *lines], "--explain", "--plot", str(tmp_path / "odd.png"))

    assert [row["value"] for row in rows] == values
    assert {row["label"] for row in rows} <= {"0"}


def test_rows_that_go_back_in_time_score_nothing(tmp_path: Path) -> None:
    lines = series()
    back = [*lines[:200], "2024-05-01 00:00:00,500", lines[199].split(",")[0] + ",500", *lines[200:]]
    rows = found(tmp_path / "back.csv", [HEADER, *back])

    assert [row["anomaly_score"] for row in rows[200:202]] == ["0.000000"] * 2
    assert rows[:200] + rows[202:] == found(tmp_path / "pump.csv", [HEADER, *lines])


def test_columns_go_by_the_header_and_may_have_none(tmp_path: Path) -> None:
    plain = found(tmp_path / "plain.csv", series())
    turned = [",".join(["x", *reversed(line.split(","))]) for line in series()]

    assert found(tmp_path / "turned.csv", ["unit,Value,Timestamp", *turned]) == plain


@pytest.mark.parametrize("line", ["2024-05-01 00:00:00", "yesterday,5", "2024-05-01 00:00:00,five"])
def test_a_line_without_a_reading_is_told_by_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "pump.csv"
    path.write_text(f"{HEADER}\n{line}\n", encoding="utf-8")
    fd = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(UserError, match="line 2"):
            anomalies.detect_file(fd, lambda text: None)
    finally:
        os.close(fd)
