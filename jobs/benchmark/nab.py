"""The score of the Numenta Anomaly Benchmark, from its published definition.

Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms" (2015), and NAB's own programme
where the paper leaves something open. Of several alarms in a labelled window the first counts, the more the
earlier it is; an alarm outside costs the more the farther it is behind a window; a window without one
costs most. Alarms of the first 15 % of a series (of 5,000 readings at most) do not count. A score is
scaled so that 100 finds each window at its beginning and nothing else, and 0 is silence.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson

from jobs.formats.times import time_parser
from streams.core.batch import Bools, Float64, Int64
from streams.errors import UserError
from streams.settings import PROJECT_ROOT

PROBATION_SHARE, PROBATION_READINGS = 0.15, 5000
FAR_BEHIND = 3.0
"""Window lengths behind a window, where an alarm costs all it can cost."""


class Profile(NamedTuple):
    """What finding a window is worth, and what a false alarm and a missed window cost."""

    found: float
    false_alarm: float
    missed: float


PROFILES = {
    "standard": Profile(1.0, 0.11, 1.0),
    "reward_low_fp": Profile(1.0, 0.22, 1.0),
    "reward_low_fn": Profile(1.0, 0.11, 2.0),
}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A series and its labelled windows, each by the numbers of its first and its last reading."""

    name: str
    time_us: Int64
    value: Float64
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """The number of the first reading whose alarm counts."""
        share = math.floor(PROBATION_SHARE * len(self.value))
        return min(share, int(PROBATION_SHARE * PROBATION_READINGS))


def data_folder() -> Path:
    """Return where data to test with is."""
    return Path(os.environ.get("STREAMGAUGE_DATA", PROJECT_ROOT / "data"))


def read_series(folder: Path) -> list[Labelled]:
    """Read ``windows.json`` and the series in ``data`` that it names; raises :class:`UserError`."""
    index = folder / "windows.json"
    if not index.is_file():
        raise UserError(
            f"there are no labelled series in {folder}",
            hint="Set STREAMGAUGE_DATA to a folder with nab/windows.json and nab/data/.",
        )
    windows = orjson.loads(index.read_bytes())
    return [_read(name, folder / "data" / name, windows[name]) for name in sorted(windows)]


def _read(name: str, file: Path, windows: Sequence[tuple[str, str]]) -> Labelled:
    parse = time_parser("auto")
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.reader(lines))[1:]
    time_us = np.array([parse(row[0]) for row in rows])
    numbers = [
        (int((time_us == parse(start)).argmax()), int((time_us == parse(end)).argmax()))
        for start, end in windows
    ]
    return Labelled(name, time_us, np.array([float(row[1]) for row in rows]), tuple(numbers))


def sigmoid(position: Float64) -> Float64:
    """Return what an alarm is worth: -1 is the beginning of a window, 0 its end, 1 as far behind it.

    >>> sigmoid(np.array([-1.0, 0.0, 3.0])).round(4).tolist()
    [0.9866, 0.0, -1.0]
    """
    worth: Float64 = 2.0 / (1.0 + np.exp(5.0 * np.minimum(position, FAR_BEHIND))) - 1.0
    return np.where(position >= FAR_BEHIND, -1.0, worth)


def sorted_out(series: Labelled, alarms: Bools) -> tuple[list[int | None], Int64]:
    """Return the first alarm in each window, None where there is none, and all alarms outside of windows.

    Those of the probationary period are neither.
    """
    at = np.flatnonzero(alarms)
    at = at[at >= series.probation]
    first: list[int | None] = []
    outside = np.ones(len(at), bool)
    for start, end in series.windows:
        within = (at >= start) & (at <= end)
        outside &= ~within
        first.append(int(at[within][0]) if within.any() else None)
    return first, at[outside]


def raw_score(series: Labelled, alarms: Bools, profile: Profile) -> float:
    """Return the unscaled score of the alarms of one series, an entry a reading.

    >>> time_us, value = np.arange(100), np.zeros(100)
    >>> series = Labelled("", time_us, value, ((50, 59),))
    >>> raw_score(series, time_us == 50, PROFILES["standard"])
    1.0
    >>> raw_score(series, time_us == 20, PROFILES["standard"])
    -1.11
    """
    starts, ends = np.array([*series.windows, (len(alarms), len(alarms))]).T
    total = 0.0
    found, false = sorted_out(series, alarms)
    for (start, end), first in zip(series.windows, found, strict=True):
        if first is None:
            total -= profile.missed
        else:
            position = np.array([-(end - first + 1) / (end - start + 1)])
            total += profile.found * float(sigmoid(position)[0] / sigmoid(np.array([-1.0]))[0])
    before = np.searchsorted(ends[:-1], false) - 1
    length = (ends - starts)[before]
    behind = np.where(before >= 0, (false - ends[before]) / np.maximum(length, 1), FAR_BEHIND)
    return total + profile.false_alarm * float(sigmoid(behind).sum())


def scaled(raw: float, windows: int, profile: Profile) -> float:
    """Return a raw score, of series with so many windows in all, on the scale from 0 to 100."""
    silence, perfect = -profile.missed * windows, profile.found * windows
    return 100.0 * (raw - silence) / (perfect - silence) if windows else 0.0


def score(series: Sequence[Labelled], alarms: Sequence[Bools], profile: Profile) -> float:
    """Return the score of the alarms of some series."""
    raw = sum(raw_score(one, of_one, profile) for one, of_one in zip(series, alarms, strict=True))
    return scaled(raw, windows_of(series), profile)


def windows_of(series: Sequence[Labelled]) -> int:
    """Return how many windows some series have in all."""
    return sum(len(one.windows) for one in series)


class Validated(NamedTuple):
    """Scores where everything was chosen on other series than those it is scored on."""

    cross_validated: float
    cross_validated_sd: float
    chosen_on: float
    """The mean score of what was chosen on the series that it was chosen on."""


def cross_validated(
    series: Sequence[Labelled],
    raw: Float64,
    profile: Profile,
    folds: int = 5,
    rounds: int = 40,
) -> Validated:
    """Choose the best column of raw scores on all folds but one, score it on that one; in several rounds.

    ``raw``: a row a series, a column for everything that can be chosen.
    """
    random = np.random.default_rng(0)
    parts = [np.array_split(random.permutation(len(series)), folds) for _ in range(rounds)]
    scored = [_left_out(series, raw, profile, tests) for tests in parts]
    of_rounds, of_choices = (np.array(each) for each in zip(*scored, strict=True))
    return Validated(float(of_rounds.mean()), float(of_rounds.std()), float(of_choices.mean()))


def by_folder(series: Sequence[Labelled], raw: Float64, profile: Profile) -> float:
    """Return the same where each part is the series of a folder: none of its kind was chosen on."""
    folders = np.array([Path(one.name).parent.name for one in series])
    tests = [np.flatnonzero(folders == folder) for folder in np.unique(folders)]
    return _left_out(series, raw, profile, tests)[0]


def _left_out(
    series: Sequence[Labelled], raw: Float64, profile: Profile, tests: Sequence[Int64]
) -> tuple[float, float]:
    """Return the score of all parts, each by what was chosen on the others, and its mean score on those."""
    windows = np.array([len(one.windows) for one in series])
    total, of_choices = 0.0, []
    for test in tests:
        train = np.setdiff1d(np.arange(len(series)), test)
        best = int(raw[train].sum(axis=0).argmax())
        total += float(raw[test, best].sum())
        of_choices.append(scaled(float(raw[train, best].sum()), int(windows[train].sum()), profile))
    return scaled(total, int(windows.sum()), profile), float(np.mean(of_choices))
