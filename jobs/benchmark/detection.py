"""How good the detection of anomalies is, and what it costs: on labelled series, and on noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jobs.benchmark.baselines import chance, clock, windowed_gaussian
from jobs.benchmark.designs import DESIGNS, THRESHOLDS, beginnings, raw_of_designs
from jobs.benchmark.nab import (
    PROFILES,
    Labelled,
    by_folder,
    cross_validated,
    read_series,
    scaled,
    score,
    sorted_out,
    windows_of,
)
from jobs.benchmark.rounds import Say
from jobs.seriesplot import draw_series, write_png
from streams.core.batch import Bools, Float64, Points
from streams.core.detect.episodes import LEVELS, NOTICE, Severity
from streams.core.detect.lookout import Lookout
from streams.core.detect.lookout_kernel import LOADED
from streams.core.detect.tail import score_of

PAGE = LEVELS[Severity.HIGH - 1]
MINUTES_A_DAY = 1440
NOISE_DAYS, NOISE_SERIES, NOISE_STEP_MIN = 14, 20, 5


def measure(folder: Path, series: int, save: Path | None, say: Say) -> list[dict[str, Any]]:
    """Return figures on the labelled series of a folder, beside baselines; on noise; and of cost."""
    labelled = read_series(folder)
    say(f"{len(labelled)} labelled series, {windows_of(labelled)} windows")
    surprises = surprises_of([(one.time_us, one.value) for one in labelled])
    found = [ours(labelled, surprises)]
    say(f"{len(DESIGNS)} designs")
    found += chosen(labelled)
    say("baselines")
    found += baselines(labelled, surprises)
    say("noise of ten kinds")
    found += [on_quiet(labelled, surprises), *on_noise()]
    say(f"cost, {series:,} series")
    found += costs(series)
    if save is not None:
        draw(labelled, surprises, save / "detect")
    return found


def surprises_of(series: Sequence[tuple[Any, Float64]]) -> list[Float64]:
    """Return how surprising each reading of each series is, all of them judged side by side."""
    lengths = [len(value) for _, value in series]
    points = Points(
        np.repeat(np.arange(len(series), dtype=np.int32), lengths),
        np.concatenate([time_us for time_us, _ in series]),
        np.concatenate([value for _, value in series]),
        np.zeros(sum(lengths), np.int16),
    )
    found = Lookout(most_series=len(series)).update(points).findings.surprise
    return np.split(found, np.cumsum(lengths)[:-1])


def ours(labelled: Sequence[Labelled], surprises: Sequence[Float64]) -> dict[str, Any]:
    """Return the scores of the design and the threshold that are used."""
    alarms = [beginnings(surprise, NOTICE) for surprise in surprises]
    pages = [beginnings(surprise, PAGE) for surprise in surprises]
    return {
        "name": "streamgauge",
        **_scores(labelled, alarms),
        **by_episode(labelled, alarms),
        "page_standard": score(labelled, pages, PROFILES["standard"]),
    }


def chosen(labelled: Sequence[Labelled]) -> list[dict[str, Any]]:
    """Return what is left of a score when everything is chosen on other series than those scored.

    ``in_sample`` is the best that the choice has to offer, on the series that it was made on;
    ``cross_validated`` is the mean over random folds, ``chosen_on`` the mean score of what was chosen
    on the series it was chosen on; ``by_folder`` leaves out a kind of series at a time.
    """
    standard = PROFILES["standard"]
    raw = raw_of_designs(labelled, standard)
    first = raw[:, : len(THRESHOLDS)]
    return [
        {
            "name": name,
            "choices": columns.shape[1],
            "in_sample": scaled(float(columns.sum(axis=0).max()), windows_of(labelled), standard),
            **cross_validated(labelled, columns, standard)._asdict(),
            "by_folder": by_folder(labelled, columns, standard),
        }
        for name, columns in (("threshold chosen", first), ("design and threshold chosen", raw))
    ]


def baselines(labelled: Sequence[Labelled], surprises: Sequence[Float64]) -> list[dict[str, Any]]:
    """Return the scores of what any detector must beat."""
    counts = [int(beginnings(surprise, NOTICE).sum()) for surprise in surprises]
    contestants: dict[str, list[Bools]] = {
        "windowed_gaussian": [windowed_gaussian(one) >= 1.0 for one in labelled],
        "clock": [clock(one) for one in labelled],
        "chance": [chance(one, count) for one, count in zip(labelled, counts, strict=True)],
    }
    return [
        {"name": name, **_scores(labelled, alarms), **by_episode(labelled, alarms)}
        for name, alarms in contestants.items()
    ]


def _scores(labelled: Sequence[Labelled], alarms: Sequence[Bools]) -> dict[str, float]:
    return {name: score(labelled, alarms, profile) for name, profile in PROFILES.items()}


def by_episode(labelled: Sequence[Labelled], alarms: Sequence[Bools]) -> dict[str, float]:
    """Return precision and recall by window, delay as a share of the window, and false alarms a day."""
    hits = false = 0
    delays, days = [], 0.0
    for one, of_one in zip(labelled, alarms, strict=True):
        found, outside = sorted_out(one, of_one)
        for (start, end), first in zip(one.windows, found, strict=True):
            if first is not None:
                hits += 1
                delays.append((first - start) / (end - start + 1))
        false += len(outside)
        days += float(one.time_us[-1] - one.time_us[one.probation]) / 86_400e6
    return {
        "recall": hits / max(windows_of(labelled), 1),
        "precision": hits / max(hits + false, 1),
        "delay": float(np.mean(delays)) if delays else 1.0,
        "false_alarms_per_series_day": false / days,
    }


def on_quiet(labelled: Sequence[Labelled], surprises: Sequence[Float64]) -> dict[str, Any]:
    """Return the false alarms a series and day, at either level, outside all windows."""
    rates = [
        by_episode(labelled, [beginnings(surprise, level) for surprise in surprises])
        for level in (NOTICE, PAGE)
    ]
    notices, pages = (rate["false_alarms_per_series_day"] for rate in rates)
    return {"name": "labelled series", "false_alarms_per_series_day": notices, "pages_per_series_day": pages}


def on_noise() -> list[dict[str, Any]]:
    """Return the false alarms a series and day on noise of ten kinds, at either level."""
    results = []
    for name, make in NOISES.items():
        random = np.random.default_rng(len(name))
        count = NOISE_DAYS * MINUTES_A_DAY // NOISE_STEP_MIN
        time_us = np.arange(count) * NOISE_STEP_MIN * 60_000_000
        surprises = surprises_of([(time_us, make(random, count)) for _ in range(NOISE_SERIES)])
        days = NOISE_DAYS * NOISE_SERIES
        results.append(
            {
                "name": f"noise: {name}",
                "false_alarms_per_series_day": _alarms(surprises, NOTICE) / days,
                "pages_per_series_day": _alarms(surprises, PAGE) / days,
            }
        )
    return results


def _alarms(surprises: Sequence[Float64], threshold: float) -> int:
    return sum(int(beginnings(surprise, threshold).sum()) for surprise in surprises)


Noise = Callable[[np.random.Generator, int], Float64]


def _autoregressive(random: np.random.Generator, count: int) -> Float64:
    values, shocks = np.zeros(count), random.normal(size=count)
    for place in range(1, count):
        values[place] = 0.95 * values[place - 1] + shocks[place]
    return values


def _daily(count: int) -> Float64:
    wave: Float64 = np.sin(2 * np.pi * np.arange(count) * NOISE_STEP_MIN / MINUTES_A_DAY)
    return wave


NOISES: dict[str, Noise] = {
    "normal": lambda random, count: random.normal(size=count),
    "uniform": lambda random, count: random.random(count),
    "heavy tails": lambda random, count: random.standard_t(3, count),
    "lognormal": lambda random, count: random.lognormal(size=count),
    "counts": lambda random, count: random.poisson(3.0, count).astype(np.float64),
    "rare events": lambda random, count: (random.random(count) < 0.02).astype(np.float64),
    "autoregressive": _autoregressive,
    "daily": lambda random, count: _daily(count) + 0.2 * random.normal(size=count),
    "daily bursts": lambda random, count: np.exp(2 * _daily(count)) * random.exponential(size=count),
    "random walk": lambda random, count: np.cumsum(random.normal(size=count)),
}


def costs(series: int) -> list[dict[str, Any]]:
    """Return what a reading costs by each of the ways there are here: many of a series at once, or one."""
    ways = (("native kernel", True), ("NumPy", False)) if LOADED.library else (("NumPy", False),)
    return [
        {"name": f"{way}, {series:,} series, {readings} of each at once", **cost(series, readings, native)}
        for way, native in ways
        for readings in (24, 1)
    ]


def cost(series: int, readings: int, native: bool) -> dict[str, Any]:
    """Return the time a reading takes, many series side by side, and the memory of one."""
    random, lookout = np.random.default_rng(1), Lookout(most_series=series, native=native)
    rounds_s = []
    for block in range(120 // readings):
        time_us = np.tile(np.arange(readings) + block * readings, series) * 60_000_000
        points = Points(
            np.repeat(np.arange(series, dtype=np.int32), readings),
            time_us,
            random.normal(size=series * readings),
            np.zeros(series * readings, np.int16),
        )
        began_s = time.process_time()
        lookout.update(points)
        rounds_s.append(time.process_time() - began_s)
    return {
        "us_per_point": float(np.median(rounds_s)) / (series * readings) * 1e6,
        "bytes_per_series": lookout.bytes_per_series,
    }


def draw(labelled: Sequence[Labelled], surprises: Sequence[Float64], folder: Path) -> None:
    """Draw each series with its windows, and where ours begin, to look at."""
    for one, surprise in zip(labelled, surprises, strict=True):
        begun = one.time_us[beginnings(surprise, NOTICE)].tolist()
        windows = [(int(one.time_us[start]), int(one.time_us[end])) for start, end in one.windows]
        picture = draw_series(one.time_us, one.value, score_of(surprise), [(at, at) for at in begun], windows)
        file = folder / one.name.replace("/", "_").replace(".csv", ".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_png(picture, file)
