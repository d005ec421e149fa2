"""What rules with episodes of their own find of faults that are put in, and what they tell of noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from jobs.benchmark.detection import MINUTES_A_DAY, NOISE_DAYS, NOISE_SERIES, NOISE_STEP_MIN, NOISES
from streams.core.batch import Float64, Int64, Points
from streams.core.detect.episodes import Episode, Severity
from streams.core.detect.groups import REASONS, Groups, Named
from streams.core.detect.rules import KINDS, Rule
from streams.core.detect.sentinel import Sentinel

STEP_US = NOISE_STEP_MIN * 60_000_000
DAY = MINUTES_A_DAY // NOISE_STEP_MIN
OWN = Rule.STUCK | Rule.SILENCE | Rule.RESETS | Rule.NEW_STATE | Rule.FLAPPING
"""The rules that are about one series, but for how likely its numbers are."""

FAULT_DAYS, FAULT_SERIES, LASTS = 6, 20, 48
METRICS = 4


class Fault(NamedTuple):
    """Something that goes wrong from a reading on, and the detector that has to tell of it."""

    name: str
    detector: str
    kind: str
    put_in: Callable[[Float64, int], None]


def on_noise() -> list[dict[str, Any]]:
    """Return the false alarms a series and day of each rule, at either level, on its worst kind of noise."""
    found: dict[str, list[tuple[float, float, str]]] = {}
    for name, make in NOISES.items():
        random = np.random.default_rng(len(name))
        count = DAY * NOISE_DAYS
        values = np.array([make(random, count) for _ in range(NOISE_SERIES)])
        times_us = np.cumsum(random.exponential(size=values.shape) * STEP_US, axis=1).astype(np.int64)
        told = [*_by_rules(values, times_us), *_by_groups(values)]
        for detector in {detector for detector, _ in REASONS[16:]}:
            peaks = [episode.severity for episode in told if REASONS[episode.reason][0] == detector]
            pages = sum(severity >= Severity.HIGH for severity in peaks)
            days = NOISE_DAYS * NOISE_SERIES
            found.setdefault(detector, []).append((len(peaks) / days, pages / days, name))
    return [
        {
            "name": f"rule: {detector}",
            "false_alarms_per_series_day": max(rates)[0],
            "pages_per_series_day": max(rate[1] for rate in rates),
            "worst": max(rates)[2] if max(rates)[0] else "",
        }
        for detector, rates in sorted(found.items())
    ]


def on_faults() -> list[dict[str, Any]]:
    """Return how many of the faults put in were told of, how late, and what else was told of."""
    return [_of_fault(fault) for fault in FAULTS] + [_of_group(*each) for each in GROUP_FAULTS]


def _of_fault(fault: Fault) -> dict[str, Any]:
    random = np.random.default_rng(len(fault.name))
    at = DAY * (FAULT_DAYS - 1)
    values = np.array([_usual(fault.kind, random) for _ in range(FAULT_SERIES)])
    for value in values:
        fault.put_in(value, at)
    times_us = np.tile(np.arange(values.shape[1]) * STEP_US, (FAULT_SERIES, 1))
    rules = int(KINDS[fault.kind] & OWN)
    told: dict[int, int] = {}
    others = 0
    sentinel = Sentinel(FAULT_SERIES, lambda series: np.full(len(series), rules))
    for place in range(values.shape[1]):
        now = slice(place, place + 1)
        begun = sentinel.update(_points(values[:, now], times_us[:, now])).begun
        begun += sentinel.silent(int(times_us[0, place]) + 1)
        for episode in begun:
            if place >= at and REASONS[episode.reason][0] == fault.detector:
                told.setdefault(episode.series, place - at)
            else:
                others += 1
    return _result(fault.name, fault.detector, told, others, FAULT_SERIES, FAULT_DAYS * FAULT_SERIES)


def _of_group(name: str, detector: str, put_in: Callable[[Float64, int], None]) -> dict[str, Any]:
    random = np.random.default_rng(len(name))
    at = DAY * (FAULT_DAYS - 1)
    told: dict[int, int] = {}
    others, fleets = 0, 5
    for number in range(fleets):
        shape = (DAY * FAULT_DAYS, FAULT_SERIES, METRICS)
        values = random.normal(size=(shape[0], 1, 1)) + random.normal(size=(*shape[:2], 1))
        values = values + 0.3 * random.normal(size=shape) + random.normal(size=(1, *shape[1:]))
        put_in(values, at)
        for place, episode in _groups_told(values.reshape(len(values), -1), METRICS):
            machine = episode.series // METRICS
            if place >= at and machine == 0 and REASONS[episode.reason][0] == detector:
                told.setdefault(number, place - at)
            elif machine or place < at:
                others += 1
    return _result(name, detector, told, others, fleets, fleets * FAULT_DAYS * FAULT_SERIES * METRICS)


def _result(
    name: str, detector: str, told: dict[int, int], others: int, faults: int, days: int
) -> dict[str, Any]:
    return {
        "name": f"fault: {name}",
        "detector": detector,
        "found": len(told) / faults,
        "delay_readings": float(np.median(list(told.values()))) if told else None,
        "others_per_series_day": others / days,
    }


def _usual(kind: str, random: np.random.Generator) -> Float64:
    count = DAY * FAULT_DAYS
    if kind == "counter":
        return np.cumsum(random.poisson(20.0, count)).astype(np.float64)
    if kind == "state":
        return np.where(np.sin(np.arange(count) / 12.0 + random.normal()) > 0.0, 1.0, 2.0)
    wave = np.sin(2 * np.pi * np.arange(count) / DAY)
    return np.round(10.0 + wave + 0.3 * random.normal(size=count), 1)


def _stuck(value: Float64, at: int) -> None:
    value[at : at + LASTS] = value[at]


def _silent(value: Float64, at: int) -> None:
    value[at : at + LASTS] = np.nan


def _storm(value: Float64, at: int) -> None:
    for place in range(at, at + LASTS, 3):
        value[place:] -= value[place]


def _unknown(value: Float64, at: int) -> None:
    value[at : at + LASTS] = 7.0


def _flaps(value: Float64, at: int) -> None:
    value[at : at + LASTS : 2] = 3.0 - value[at : at + LASTS : 2]


def _unlike(values: Float64, at: int) -> None:
    values[at:, 0, :] += 8.0


def _apart(values: Float64, at: int) -> None:
    values[at:, 0, 0] = np.roll(values[at:, 0, 0], 7)


FAULTS = (
    Fault("sensor stuck at a usual value", "flat_line", "gauge", _stuck),
    Fault("sensor silent", "silence", "gauge", _silent),
    Fault("counter stuck", "flat_line", "counter", _stuck),
    Fault("counter resets every third reading", "resets", "counter", _storm),
    Fault("state never seen", "new_state", "state", _unknown),
    Fault("state flaps", "flapping", "state", _flaps),
)
GROUP_FAULTS = (
    ("one machine of 20 unlike its peers", "peers", _unlike),
    ("one metric of a machine left its company", "joint", _apart),
)


def _by_rules(values: Float64, times_us: Int64) -> list[Episode]:
    sentinel = Sentinel(len(values), lambda series: np.full(len(series), int(OWN)))
    told = sentinel.update(_points(values, times_us))
    return [*told.ended, *sentinel.open()]


def _by_groups(values: Float64) -> list[Episode]:
    return [episode for _, episode in _groups_told(values.T, METRICS, ended=True)]


def _groups_told(values: Float64, metrics: int, *, ended: bool = False) -> Iterable[tuple[int, Episode]]:
    """Yield the episodes of machines with so many metrics each, and at which bucket they are told of."""
    groups, series = Groups(), np.arange(values.shape[1])
    groups.introduce(
        [
            Named(number, "default", f"m-{number // metrics}", f"{number % metrics}")
            for number in series.tolist()
        ]
    )
    for place, mean in enumerate(values):
        told = groups.update(place * STEP_US, series, mean)
        yield from ((place, episode) for episode in (told.ended if ended else told.begun))
    if ended:
        yield from ((len(values), episode) for episode in groups.open())


def _points(values: Float64, times_us: Int64) -> Points:
    count = values.shape[1]
    series = np.repeat(np.arange(len(values), dtype=np.int32), count)
    return Points(series, times_us.reshape(-1), values.reshape(-1), np.zeros(values.size, np.int16))
