"""How good forecasts are on real series, issued day after day knowing nothing later, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jobs.benchmark.nab import read_series
from jobs.benchmark.rounds import Say
from jobs.forecast.pool import predict_all
from streams.core.batch import Float64
from streams.core.forecast.hours import DAY, MOST_HOURS, WEEK, by_hour, filled
from streams.core.forecast.predict import Forecast
from streams.core.forecast.scores import QUANTILES, covered, daily_error, pinball
from streams.core.forecast.simple import NAIVE, TO_BEAT, simple
from streams.errors import UserError

TRACE = Path("traces") / "nasa_kennedy_requests_per_minute.csv"
HOSTS = ("realAWSCloudwatch/", "realKnownCause/ec2_", "realKnownCause/machine_")
MINUTE_US = 60_000_000

MOST_GAPS = 0.3
"""Series of which more hours are missing say little of forecasts."""

FEWEST_DAYS = 7


class Issue(NamedTuple):
    """What was known of a series when it was forecast, and what happened in the day after."""

    name: str
    history: Float64
    actual: Float64


def measure(folder: Path, days: int, series: int, say: Say) -> list[dict[str, Any]]:
    """Return figures of a web server's trace, of hosts, of other series, and of what many series take."""
    results = []
    for name, group in groups_of(folder).items():
        say(f"{name}: {len(group)} series, a forecast a day for up to {days} days")
        results.append({"name": name, **judge(group, days)})
    if series > 1:
        say(f"cost, {series:,} series")
        results.append(cost(series))
    return results


def groups_of(folder: Path) -> dict[str, dict[str, Float64]]:
    """Return series by the hour, by group and name. Raises UserError where there are none."""
    file = folder / TRACE
    if not file.is_file():
        raise UserError(
            f"there is no {TRACE} in {folder}", hint="Set STREAMGAUGE_DATA to a folder that has it, and nab/."
        )
    minute, requests = np.loadtxt(file, delimiter=",", skiprows=1, unpack=True)
    _, trace = by_hour((minute * MINUTE_US).astype(np.int64), requests)
    groups: dict[str, dict[str, Float64]] = {
        "web server": {TRACE.name: trace},
        "hosts": {},
        "others": {},
    }
    for one in read_series(folder / "nab"):
        _, value = by_hour(one.time_us, one.value)
        if one.name.startswith("real") and np.isnan(value).mean() <= MOST_GAPS:
            groups["hosts" if one.name.startswith(HOSTS) else "others"][one.name] = value
    return groups


def judge(group: Mapping[str, Float64], days: int) -> dict[str, Any]:
    """Return how forecasts of the next day did, each figure the mean over series.

    ``mase``: the error by that of saying what was a day before, over the same hours; ``mase_in_sample``: by
    that in the history, as Hyndman and Koehler have it; ``pinball`` likewise.
    """
    figures: dict[str, list[list[float]]] = {}
    simplest = total = 0
    for (name, history, actual), forecast in predict_all(issues(group, days), DAY):
        if isinstance(forecast, Forecast):
            figures.setdefault(name, []).append(_figures(history, actual, forecast))
            simplest += forecast.model in TO_BEAT
            total += 1
    means = np.array([np.mean(some, axis=0) for some in figures.values()])
    error, naive, day_ago, scale, coverage, loss = means.T
    return {
        "series": len(means),
        "forecasts": total,
        "mase": float(np.mean(error / day_ago)),
        "mase_in_sample": float(np.mean(error / scale)),
        "naive_mase": float(np.mean(naive / day_ago)),
        "better": int(np.count_nonzero(error < day_ago)),
        "coverage": float(coverage.mean()),
        "pinball": float(np.mean(loss / scale)),
        "simplest": simplest / total,
    }


def issues(group: Mapping[str, Float64], days: int) -> Iterator[tuple[Issue, Float64]]:
    """Yield what is known at the end of each of the latest days, with what happened next.

    >>> [len(known) for _, known in issues({"a": np.zeros(10 * 24)}, days=2)]
    [192, 216]
    """
    for name, value in group.items():
        for origin in range(len(value) - DAY * days, len(value), DAY):
            actual = value[max(origin, 0) : origin + DAY]
            if origin >= FEWEST_DAYS * DAY and not np.isnan(actual).all():
                yield Issue(name, value[:origin], actual), value[:origin]


def _figures(history: Float64, actual: Float64, forecast: Forecast) -> list[float]:
    """Return errors of the forecast, naive and as a day ago, their scale, coverage, and pinball loss."""
    known = ~np.isnan(actual)
    ahead = simple(filled(history), DAY)
    errors = [
        np.abs(actual - each)[known].mean() for each in (forecast.p50, ahead[NAIVE], ahead["as a day ago"])
    ]
    quantiles = zip(QUANTILES, (forecast.p10, forecast.p50, forecast.p90), strict=True)
    loss = np.mean([pinball(actual, each, share)[known].mean() for share, each in quantiles])
    inside = covered(actual, forecast.p10, forecast.p90)
    return [float(each) for each in (*errors, daily_error(history), inside, loss)]


def cost(series: int) -> dict[str, Any]:
    """Return how long many series take side by side, with eight weeks of hours, and how long one takes.

    Of a thousand it is said by how long the others took after the first, which waits for processes to start.
    """
    began_s = time.perf_counter()
    at_s = [time.perf_counter() - began_s for _ in predict_all(enumerate(busy_hosts(series)), DAY)]
    answers = predict_all(enumerate(busy_hosts(2)), DAY, processes=1)
    next(answers)
    began_s = time.perf_counter()
    next(answers)
    return {
        "name": f"cost, {series:,} series",
        "one_series_s": time.perf_counter() - began_s,
        "first_series_s": at_s[0],
        "thousand_series_s": at_s[0] + 999 * (at_s[-1] - at_s[0]) / (series - 1),
    }


def busy_hosts(series: int) -> Iterator[Float64]:
    """Yield hours of made-up hosts: by day and week, with noise that lasts, and bursts."""
    hour = np.arange(MOST_HOURS)
    for number in range(series):
        random = np.random.default_rng(number)
        daily = np.sin(2 * np.pi * (hour / DAY + random.random())) * np.where(hour % WEEK < 5 * DAY, 1.0, 0.4)
        noise = np.cumsum(random.normal(size=MOST_HOURS)) * 0.02 + 0.2 * random.normal(size=MOST_HOURS)
        yield 10 + 3 * daily + noise + 5 * (random.random(MOST_HOURS) < 0.01)
