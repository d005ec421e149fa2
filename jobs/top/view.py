"""Draws the live view for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich.align import Align
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from jobs.top.health import Health
from jobs.top.metrics import SLOTS, Row
from jobs.top.quantity import compact, number, quantity
from jobs.top.sparkline import BARS, GAP, levels, merged

_CALM = ("#2f6f8f", "#3a86a8", "#469dc0", "#52b4d8", "#62c4e0", "#78d2e6", "#94dfec", "#b4ecf4")
_LOAD = ("#3aa35b", "#5cb356", "#84bf4f", "#aecb48", "#d8cf42", "#e6b23e", "#e6843e", "#e6503e")
_BORDER = "#3b4a5a"
_LABEL = "#8fa3b5"
_METRIC = "#c7d3dd"
_REPEATED = "#4d5f70"
_GOOD, _WARN, _BAD = "#5fd38d", "#e6b23e", "#e6503e"

WIDE = 118
"""From so many columns on the tiles stand in one row and a sparkline has all its bars."""

_NARROW_MERGE = 3
_TILE_BARS = 14
_TILE_ROWS = 4
_FRAME_ROWS = 4
"""Title and border rows of the tiles' and the metrics' panels that hold no metric."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What is drawn. ``series`` is how many there are; ``trouble`` says what cannot be read now."""

    at: datetime
    health: Health | None = None
    rows: Sequence[Row] = ()
    series: int = 0
    trouble: Sequence[str] = field(default_factory=tuple)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height, width = options.height or console.height, options.max_width
        most = visible_rows(height, width) - len(self.trouble)
        yield _title(self.at, _WARN if self.trouble else _GOOD)
        yield from _tiles(self.health, width)
        for line in self.trouble:
            yield Text(f" ! {line}", style=_BAD, no_wrap=True, overflow="ellipsis")
        yield _metrics(self.rows[: max(most, 0)], self.series, width)


def visible_rows(height: int, width: int) -> int:
    """Return how many metrics a terminal of so many lines and columns has room for."""
    return max(0, height - 1 - _TILE_ROWS * (2 if width < WIDE else 1) - _FRAME_ROWS)


def bars(values: Sequence[float | None], *, share: bool) -> Text:
    """Return a sparkline in colour: by the value itself where it is a share of one, else by height."""
    text = Text(no_wrap=True)
    for value, level in zip(values, levels(values), strict=True):
        if value is None or level is None:
            text.append(GAP)
            continue
        colour = _LOAD[min(int(max(value, 0.0) * 8), 7)] if share else _CALM[level]
        text.append(BARS[level], style=colour)
    return text


def _title(at: datetime, colour: str) -> Table:
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_row(
        Text(" ● streamgauge", style=f"bold {colour}"), Text(f"{at:%Y-%m-%d %H:%M:%S}", style=_LABEL)
    )
    return grid


def _tiles(health: Health | None, width: int) -> Iterable[Table]:
    tiles = list(_figures(health)) if health else [("pipeline", Text("…"), Text("waiting"))]
    if width < WIDE and len(tiles) > 4:
        yield from (_tile_row(tiles[:4]), _tile_row(tiles[4:]))
    else:
        yield _tile_row(tiles)


def _tile_row(tiles: Sequence[tuple[str, Text, Text]]) -> Table:
    grid = Table.grid(expand=True)
    for _ in tiles:
        grid.add_column(ratio=1)
    grid.add_row(
        *(
            Panel(
                Group(Align.center(value), Align.center(note)),
                title=Text(label, style=_LABEL),
                border_style=_BORDER,
                padding=(0, 0),
            )
            for label, value, note in tiles
        )
    )
    return grid


def _figures(health: Health) -> Iterable[tuple[str, Text, Text]]:
    """Yield label, figure and a note below it of each tile."""
    workers = len(health.workers)
    memory = sum(worker.get("rss_bytes") or 0 for worker in health.workers)
    yield (
        "readings/s",
        _figure(health.rows_per_s),
        bars(health.rates[-_TILE_BARS:] or [None], share=False),
    )
    yield "latency", _latency(health), Text("p50 / p99", style=_LABEL)
    yield "lag", _figure(health.lag, warn_above=1000), Text("messages", style=_LABEL)
    yield "written", _figure(health.written), Text("readings", style=_LABEL)
    yield "duplicates", _figure(health.duplicates), Text("dropped", style=_LABEL)
    yield "dead letters", _figure(health.dead_letters, warn_above=0), Text("refused", style=_LABEL)
    note = (
        Text(f"{len(health.halted)} halted", style=_BAD)
        if health.halted
        else Text(quantity(float(memory), "By") if memory else "", style=_LABEL)
    )
    yield "workers", _figure(workers, warn_below=1), note


def _figure(value: float | None, *, warn_above: float | None = None, warn_below: float | None = None) -> Text:
    if value is None:
        return Text("–", style=_LABEL)
    worth_a_look = (warn_above is not None and value > warn_above) or (
        warn_below is not None and value < warn_below
    )
    return Text(number(value), style=f"bold {_WARN if worth_a_look else 'white'}")


def _latency(health: Health) -> Text:
    p50, p99 = health.latency_p50_ms, health.latency_p99_ms
    if p50 is None or p99 is None:
        return Text("–", style=_LABEL)
    said = f"{p50:,.0f} / {p99:,.0f} ms" if p99 < 10_000 else f"{p50 / 1000:,.0f} / {p99 / 1000:,.0f} s"
    return Text(said, style="bold white", no_wrap=True)


def _metrics(rows: Sequence[Row], series: int, width: int) -> Panel:
    wide = width >= WIDE
    number_width, bar_count = (10, SLOTS) if wide else (7, SLOTS // _NARROW_MERGE)
    # Borders and their padding take four columns, the gaps between the seven cells six.
    names_width = width - 10 - 4 * number_width - bar_count
    source_width = min(max((len(row.series.source) for row in rows), default=6), names_width // 2)
    table = Table(box=None, expand=True, header_style=_LABEL, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("source", no_wrap=True, width=source_width)
    table.add_column("metric", no_wrap=True, width=names_width - source_width)
    table.add_column("now", justify="right", no_wrap=True, width=number_width)
    table.add_column("last minute" if wide else "1 minute", no_wrap=True, width=bar_count)
    for name in ("min", "avg", "max"):
        table.add_column(name, justify="right", no_wrap=True, width=number_width)
    former = ""
    for row in rows:
        table.add_row(*_cells(row, former, source_width, names_width - source_width, wide))
        former = row.series.source
    hidden = series - len(rows)
    more = f"{hidden:,} more series; make room, or choose with --filter" if hidden > 0 else ""
    return Panel(
        table if rows or series else Align.center(Text("no readings within the last minute", style=_LABEL)),
        title=Text(f"{series:,} series", style=_LABEL),
        subtitle=Text(more, style=_LABEL),
        border_style=_BORDER,
        width=width,
    )


def _cells(row: Row, former_source: str, source_width: int, metric_width: int, wide: bool) -> Iterable[Text]:
    """Where it is narrow, units stand without a space and three bars are one."""
    series = row.series
    told = quantity if wide else compact
    share = series.unit == "1" and series.metric.endswith("utilization")
    repeated = series.source == former_source
    yield Text(end_of(series.source, source_width), style=_REPEATED if repeated else "bold white")
    yield Text(end_of(series.metric, metric_width), style=_METRIC)
    yield Text(told(row.now, series.unit, series.metric), style="bold white")
    yield bars(row.bars if wide else merged(row.bars, _NARROW_MERGE), share=share)
    for value in (row.low, row.mean, row.high):
        yield Text(told(value, series.unit, series.metric), style=_LABEL)


def end_of(name: str, width: int) -> str:
    """Return a name cut at its beginning: its end tells more.

    >>> end_of("system.cpu.load_average.15m", 18)
    '….load_average.15m'
    """
    return name if len(name) <= width else f"…{name[len(name) - width + 1 :]}"
