"""The pages show the figures of the reports that are saved beside them."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from jobs.benchmark.page import PAGES, SAVED, filled, table
from jobs.benchmark.report import read_results

PAGE = "before\n<!-- figures: pipeline -->\nold\n<!-- end -->\nafter\n"


def saved(directory: Path, rate: int) -> Path:
    results = [
        {"name": "raw_copy", "readings_per_s": 700_000, "lowest": 600_000, "highest": 800_000},
        {"name": "decode_batched", "readings_per_s": 1, "lowest": 1, "highest": 1},
        {
            "name": "batched",
            "readings_per_s": rate,
            "lowest": rate - 1,
            "highest": rate + 1,
            "share_of_raw_copy": 0.874,
        },
    ]
    (directory / "pipeline.json").write_bytes(orjson.dumps({"results": results}))
    return directory


def test_what_was_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = filled(PAGE, saved(tmp_path, 612_345))
    assert "| Avro batches | 612,345 | 612,344 to 612,346 | 0.87 |\n" in page
    assert "decode" not in page
    assert "old" not in page
    assert page.startswith("before\n<!-- figures: pipeline -->\n")
    assert page.endswith("\n<!-- end -->\nafter\n")
    assert filled(page, tmp_path) == page


def test_a_way_that_a_question_has_not_is_a_dash() -> None:
    answer = {
        "name": "lttb",
        "bound_ms": 500,
        "ours_ms": 41.26,
        "lowest_ms": 40,
        "highest_ms": 52,
        "rows": 500,
    }
    told = table("queries", [answer, answer | {"plain_ms": 1234.5}]).splitlines()
    assert told[2:] == [
        "| lttb | 500 ms | 41.3 ms | 40.0 to 52.0 | 500 | - | - |",
        "| lttb | 500 ms | 41.3 ms | 40.0 to 52.0 | 500 | 1,234.5 ms | - |",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_a_page_shows_the_figures_of_the_saved_reports(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == filled(text), "rewrite it: python -m jobs.benchmark.page"


def test_every_saved_report_is_shown() -> None:
    shown = (SAVED / "README.md").read_text(encoding="utf-8")
    reports = sorted(SAVED.glob("*.json"))
    assert reports
    for report in reports:
        assert f"<!-- figures: {report.stem} -->" in shown
        assert f"{report.stem}.svg" in shown
        assert read_results(report)
