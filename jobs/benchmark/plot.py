"""Plots as SVG, by hand: bars with their spread, and lines over time. No library has to be installed.

A PNG beside it, for looking at, is drawn where ``resvg-py`` is installed (extra ``benchmark``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH = 860
LABEL_WIDTH = 190
VALUE_WIDTH = 150
BAR_HEIGHT = 18
BAR_STEP = 28
TOP = 56
LINES_HEIGHT = 260
INK, FAINT, BAR, WHISKER = "#1f2933", "#9aa5b1", "#3e7cb1", "#12344d"
COLOURS = ("#3e7cb1", "#c4572e", "#4b8b3b", "#7d5ba6", "#b8860b", "#5f6b76")


class Bar(NamedTuple):
    """One bar with the lowest and the highest of its rounds; ``note`` stands behind its value."""

    label: str
    value: float
    lowest: float
    highest: float
    note: str = ""


def bar_chart(title: str, subtitle: str, bars: Sequence[Bar]) -> str:
    """Return horizontal bars, one below the other, as an SVG document.

    >>> "1,200 (0.80)" in bar_chart("Speed", "readings/s", [Bar("batched", 1200, 1100, 1300, "(0.80)")])
    True
    """
    room = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    scale = room / max((bar.highest for bar in bars), default=1.0)
    drawn = []
    for number, bar in enumerate(bars):
        y = TOP + number * BAR_STEP
        middle = y + BAR_HEIGHT / 2
        low, high = LABEL_WIDTH + bar.lowest * scale, LABEL_WIDTH + bar.highest * scale
        drawn += [
            _text(LABEL_WIDTH - 10, middle + 4, bar.label, anchor="end"),
            f'<rect x="{LABEL_WIDTH}" y="{y}" width="{bar.value * scale:.1f}" height="{BAR_HEIGHT}"'
            f' fill="{BAR}"/>',
            _line([(low, middle), (high, middle)], WHISKER),
            _text(high + 8, middle + 4, f"{bar.value:,.0f} {bar.note}".rstrip()),
        ]
    return _document(title, subtitle, TOP + len(bars) * BAR_STEP + 12, drawn)


def line_chart(title: str, subtitle: str, xs: Sequence[float], lines: Mapping[str, Sequence[float]]) -> str:
    """Return lines over ``xs`` as an SVG document, each scaled to its own highest value, which is named.

    >>> "lag, at most 20" in line_chart("Soak", "", [0.0, 1.0], {"lag": [10.0, 20.0]})
    True
    """
    left, right, bottom = 20, WIDTH - 20, TOP + LINES_HEIGHT
    first, last = (min(xs), max(xs)) if xs else (0.0, 1.0)
    across = (right - left) / ((last - first) or 1.0)
    drawn = [_line([(left, bottom), (right, bottom)], FAINT)]
    for number, (name, values) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        highest = max(values, default=0.0)
        up = LINES_HEIGHT / (highest or 1.0)
        points = [
            (left + (x - first) * across, bottom - value * up) for x, value in zip(xs, values, strict=True)
        ]
        drawn.append(_line(points, colour))
        drawn.append(_text(left, bottom + 22 + 18 * number, f"{name}, at most {highest:,.4g}", colour=colour))
    drawn.append(_text(right, bottom + 22, f"{first:,.4g} to {last:,.4g}", anchor="end"))
    return _document(title, subtitle, bottom + 30 + 18 * len(lines), drawn)


def write_plot(svg: str, file: Path) -> list[Path]:
    """Write a plot, and a PNG beside it where that can be drawn; return what was written."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(svg, encoding="utf-8")
    if find_spec("resvg_py") is None:
        return [file]
    from resvg_py import svg_to_bytes

    png = file.with_suffix(".png")
    png.write_bytes(bytes(svg_to_bytes(svg_string=svg, zoom=2.0)))
    return [file, png]


def _document(title: str, subtitle: str, height: float, drawn: Sequence[str]) -> str:
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}"'
            f' height="{height:.0f}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>',
            _text(20, 24, title, size=16),
            _text(20, 42, subtitle, colour=FAINT),
            *drawn,
            "</svg>\n",
        )
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = INK, size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    placed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{placed}" fill="none" stroke="{colour}" stroke-width="2"/>'
