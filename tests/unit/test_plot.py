"""Plots are well-formed and to scale."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from jobs.benchmark import plot
from jobs.benchmark.plot import Bar, bar_chart, line_chart, write_plot

SVG = "{http://www.w3.org/2000/svg}"


def test_bars_are_as_long_as_their_values_and_names_are_escaped() -> None:
    drawn = ElementTree.fromstring(
        bar_chart("<fast>", "", [Bar("a & b", 50, 40, 60), Bar("c", 100, 90, 110)])
    )
    bars = [float(bar.get("width", "")) for bar in drawn.findall(f"{SVG}rect")][1:]
    texts = [text.text for text in drawn.findall(f"{SVG}text")]

    assert bars[1] == pytest.approx(2 * bars[0], abs=0.2)
    assert {"<fast>", "a & b", "50", "100"} <= set(texts)


def test_each_line_reaches_the_top_with_its_highest_value() -> None:
    drawn = ElementTree.fromstring(
        line_chart("Soak", "", [0, 1, 2], {"lag": [0, 5, 1], "memory": [9e8, 1e9, 1e9]})
    )
    lines = [line.get("points", "").split() for line in drawn.findall(f"{SVG}polyline")][1:]
    highest = [min(float(point.partition(",")[2]) for point in points) for points in lines]

    assert highest == [plot.TOP, plot.TOP]


def test_nothing_to_draw_is_drawn() -> None:
    ElementTree.fromstring(bar_chart("", "", []))
    ElementTree.fromstring(line_chart("", "", [], {"lag": []}))


def test_a_plot_is_written_where_asked(tmp_path: Path) -> None:
    svg = bar_chart("Speed", "", [Bar("batched", 1, 1, 1)])

    written = write_plot(svg, tmp_path / "new" / "pipeline.svg")

    assert written[0].read_text(encoding="utf-8") == svg
    assert all(file.stat().st_size for file in written)
