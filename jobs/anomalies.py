"""Anomalies in a text file of one series: each reading with its score, as soon as it is read."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jobs.formats.base import BadLine, shorten
from jobs.formats.times import time_parser
from jobs.lines import LineReader
from streams.core.batch import Points
from streams.core.detect.episodes import NOTICE, Episode
from streams.core.detect.likelihood import EXPLAINED
from streams.core.detect.rules import Rule
from streams.core.detect.sentinel import REASONS, Sentinel, Watched
from streams.errors import UserError

COLUMNS = ("timestamp", "value")
FOUND = ("anomaly_score", "label")
REASON_COLUMNS = ("detector", "signal", "direction", "observed", "expected", "band", "statistic")

BLOCK_ROWS = 4096
"""So many rows are judged together, or fewer where no more came yet: results are the same."""


class Row(NamedTuple):
    """A reading as the file has it, and what it means; an empty value is not a number."""

    timestamp: str
    text: str
    time_us: int
    value: float


class Found(NamedTuple):
    """What came of a whole file: its readings, their scores, all episodes; nothing where it was not kept."""

    time_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]
    episodes: list[Episode]


def detect_file(
    fd: int,
    write: Callable[[str], object],
    *,
    rules: Rule = Rule.VALUE,
    explain: bool = False,
    keep: bool = False,
) -> Found:
    """Read ``timestamp,value``, write the same with what was found, and return it if it is to be kept.

    ``rules`` are those that the series is watched for. A row is written before the next is needed: nothing
    that comes later changes it. An input without an end is not to be kept. Raises :class:`UserError` at the
    first line that holds no reading.
    """
    write(_line([*COLUMNS, *FOUND, *(REASON_COLUMNS if explain else ())]))
    sentinel = Sentinel(1, lambda series: np.full(len(series), int(rules)))
    episodes = list[Episode]()
    parts = [(np.empty(0, np.int64), np.empty(0), np.empty(0))]
    for rows in read_rows(fd):
        time_us = np.array([row.time_us for row in rows], np.int64)
        value = np.array([row.value for row in rows])
        nothing = np.zeros(len(rows))
        seen = sentinel.update(Points(nothing.astype(np.int32), time_us, value, nothing.astype(np.int16)))
        _mark(seen, time_us, value)
        write("".join(_lines(rows, seen, explain)))
        if keep:
            parts.append((time_us, value, seen.findings.score))
            episodes += seen.ended
    time_us, value, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Found(time_us, value, score, [*episodes, *sentinel.open()] if keep else [])


def _mark(seen: Watched, time_us: npt.NDArray[np.int64], value: npt.NDArray[np.float64]) -> None:
    """Show episodes of rules where they are told of, as if they were of how likely values are."""
    findings = seen.findings
    for episode in seen.begun:
        row = int(np.argmax(time_us == episode.end_us))
        seen.began[row] = True
        if episode.peak >= findings.surprise[row]:
            findings.surprise[row], findings.reason[row] = episode.peak, episode.reason
            findings.statistic[row], findings.observed[row] = episode.peak / NOTICE, value[row]
            findings.expected[row] = findings.band[row] = np.nan


def _lines(rows: list[Row], seen: Watched, explain: bool) -> Iterator[str]:
    findings = seen.findings
    scores, labels = findings.score.tolist(), seen.began.tolist()
    explained = list(zip(*(column.tolist() for column in findings), strict=True)) if explain else []
    for number, row in enumerate(rows):
        cells = [row.timestamp, row.text, f"{scores[number]:.6f}", str(int(labels[number]))]
        if explain:
            cells += _explained(*explained[number])
        yield _line(cells)


def _explained(
    surprise: float, reason: int, statistic: float, observed: float, expected: float, band: float
) -> list[str]:
    """Return what surprised most, where it was enough to speak of."""
    if surprise < EXPLAINED:
        return [""] * len(REASON_COLUMNS)
    direction = "high" if statistic > 0 else "low"
    told = (observed, expected, band, statistic)
    numbers = ("" if math.isnan(number) else f"{number:.6g}" for number in told)
    return [*REASONS[reason], direction, *numbers]


def read_rows(fd: int) -> Iterator[list[Row]]:
    """Yield rows, as many as there are for now, in the order of the file."""
    parse_time = time_parser("auto")
    at: tuple[int, int] | None = None
    rows: list[Row] = []
    number = 0
    for line in LineReader(fd):
        if line is None:
            if rows:
                yield rows
            rows = []
            continue
        number += 1
        cells = next(csv.reader([line.decode("utf-8-sig", "replace").rstrip("\r")]), [])
        if not any(cell.strip() for cell in cells):
            continue
        if at is None:
            at = _columns(cells)
            if at is not None:
                continue
            at = (0, 1)
        try:
            rows.append(_row(cells, at, parse_time))
        except BadLine as fault:
            raise UserError(
                f"line {number}: {fault}", hint="A line is timestamp,value; an empty value is a gap."
            ) from None
        if len(rows) == BLOCK_ROWS:
            yield rows
            rows = []
    if rows:
        yield rows


def _columns(cells: list[str]) -> tuple[int, int] | None:
    """Return where a header has the two columns, or None if it is no header."""
    names = [cell.strip().lower() for cell in cells]
    if not set(COLUMNS) <= set(names):
        return None
    return names.index(COLUMNS[0]), names.index(COLUMNS[1])


def _row(cells: list[str], at: tuple[int, int], parse_time: Callable[[str], int]) -> Row:
    if len(cells) <= max(at):
        raise BadLine(f"{shorten(','.join(cells))!r} has too few columns")
    timestamp, text = cells[at[0]], cells[at[1]]
    try:
        value = float(text) if text.strip() else math.nan
    except ValueError:
        raise BadLine(f"value {shorten(text)!r} is not a number") from None
    return Row(timestamp, text, parse_time(timestamp), value)


def _line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()
