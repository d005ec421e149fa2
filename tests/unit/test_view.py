"""What is drawn fits its terminal and says what there is."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.cells import cell_len
from rich.console import Console

from jobs.top.health import Health
from jobs.top.metrics import SLOTS, Row, Series
from jobs.top.view import WIDE, Screen, end_of, visible_rows

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HEALTH = Health(
    rows_per_s=31.5,
    written=12_345,
    dead_letters=0,
    lag=7,
    duplicates=None,
    latency_p50_ms=38.0,
    latency_p99_ms=65.0,
    workers=({"owner": "a", "rss_bytes": 100 * 2**20},),
    rates=(1.0, 2.0, 3.0),
)
SIZES = [(80, 24), (100, 30), (WIDE, 24), (200, 60), (80, 14)]


def _rows(count: int) -> list[Row]:
    bars = tuple(None if n % 7 == 0 else float(n) for n in range(SLOTS))
    return [
        Row(
            Series(n, "default", f"web-{n // 4}/interface=eth0", "system.network.io.receive", "By/s"),
            now=1234567.0,
            low=0.0,
            mean=99.5,
            high=1e9,
            bars=bars,
        )
        for n in range(count)
    ]


def _draw(screen: Screen, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), record=True, width=width, height=height, color_system=None)
    console.print(screen)
    return console.export_text().rstrip("\n").split("\n")


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("trouble", [(), ("Kafka does not answer",)])
def test_a_full_screen_fits_its_terminal(width: int, height: int, trouble: tuple[str, ...]) -> None:
    lines = _draw(Screen(AT, HEALTH, _rows(100), 100, trouble), width, height)

    assert len(lines) <= height
    assert all(cell_len(line) <= width for line in lines)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_says_how_many_series_there_was_no_room_for(width: int, height: int) -> None:
    text = "\n".join(_draw(Screen(AT, HEALTH, _rows(100), 140), width, height))

    shown = min(100, visible_rows(height, width))
    assert text.count("io.receive") == shown
    assert f"{140 - shown} more series" in text


@pytest.mark.parametrize("width", [80, WIDE])
def test_the_figures_of_the_pipeline_are_there(width: int) -> None:
    text = "\n".join(_draw(Screen(AT, HEALTH, _rows(2), 2), width, 30))

    for figure in ("31.5", "38 / 65 ms", "12,345", "100 MiB", "2026-01-02 03:04:05", "2 series"):
        assert figure in text
    assert "more series" not in text


def test_latencies_of_a_backlog_are_told_in_seconds() -> None:
    slow = Health(**{**{f: getattr(HEALTH, f) for f in HEALTH.__slots__}, "latency_p99_ms": 770_000.0})

    assert "0 / 770 s" in "\n".join(_draw(Screen(AT, slow), WIDE, 30))


def test_before_the_first_answer_it_says_that_it_waits() -> None:
    text = "\n".join(_draw(Screen(AT), 80, 24))

    assert "waiting" in text
    assert "no readings within the last minute" in text


def test_trouble_is_told() -> None:
    assert any(
        "! Kafka is away" in line for line in _draw(Screen(AT, HEALTH, (), 0, ("Kafka is away",)), 80, 24)
    )


@pytest.mark.parametrize(("width", "expected"), [(5, "abcde"), (4, "…cde"), (1, "…")])
def test_a_name_is_cut_at_its_beginning(width: int, expected: str) -> None:
    assert end_of("abcde", width) == expected
