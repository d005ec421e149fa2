"""Episodes are stored and told with the flush they came with, whoever stores it and however it is cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sinks.protocols import Part, ReadingsSink
from streams.core.batch import Columns
from streams.core.detect import saving
from streams.core.detect.choice import Choice
from tests.builders import BASE_US, P0, columns, flush_of, series_table
from tests.contract.places import Place

TABLE = series_table("rpm", "debug.heap")
SEED = 4
SECONDS = 440
SPIKES = (270, 272, 350)
STEP_US = 1_000_000


def load() -> Columns:
    """Return readings of two series, a second apart, with a few that nobody would expect."""
    values = np.random.default_rng(SEED).normal(size=SECONDS)
    values[list(SPIKES)] = 4.0, 40.0, -50.0
    return columns(
        [0, 1] * SECONDS,
        time_us=np.repeat(BASE_US + np.arange(SECONDS) * STEP_US, 2).tolist(),
        value=np.repeat(values, 2).tolist(),
        stamp_ms=np.repeat(BASE_US // 1000 + np.arange(SECONDS) * 1000, 2).tolist(),
        offset=range(2 * SECONDS),
    )


def parts(log: Columns, epoch: int, begin: int, *ends: int) -> Iterator[Part]:
    for end in ends:
        yield Part(P0, epoch, begin, end, [log.take(slice(begin, end))])
        begin = end


def write(sink: ReadingsSink, log: Columns, *cuts: int, begin: int = 0) -> int:
    """Store a log up to each of these offsets; return the epoch."""
    epoch = sink.claim(P0, "w", 0).epoch
    for part in parts(log, epoch, begin, *cuts):
        sink.write(flush_of(TABLE, part))
    return epoch


def of(anomalies: list[tuple[dict[str, Any], bool]], metric: str) -> list[tuple[Any, ...]]:
    return [
        ((each["start"] - BASE_US) // STEP_US, each["state"], each["severity"], each["direction"], late)
        for each, late in anomalies
        if each["metric"] == metric
    ]


def test_an_episode_is_told_when_it_begins_gets_worse_and_ends(place: Place) -> None:
    log = load()
    sink = place.sink("w", choice=Choice())
    epoch = write(sink, log, 600)
    assert of(place.anomalies(), "rpm") == [(270, "open", "medium", 1, False)]
    for part in parts(log, epoch, 600, len(log)):
        sink.write(flush_of(TABLE, part))
    assert of(place.anomalies(), "rpm") == [
        (270, "over", "medium", 1, False),
        (350, "over", "medium", -1, False),
    ]
    told = [
        (each["revision"], each["state"], each["severity"])
        for each in place.told()
        if each["metric"] == "rpm"
    ]
    assert told == [
        (0, "open", "low"),
        (1, "open", "medium"),
        (2, "over", "medium"),
        (0, "open", "medium"),
        (1, "over", "medium"),
    ]


@pytest.mark.parametrize("cut", [700, 2 * SECONDS], ids=["while it is open", "when it is over"])
@pytest.mark.parametrize(
    ("half_seconds", "revision", "value", "is_in_it"),
    [
        (543, 0, 77.0, True),
        (544, 1, 77.0, True),
        (544, 1, 40.0, False),
        (545, 0, 77.0, False),
        (539, 0, 77.0, False),
    ],
)
def test_an_episode_says_that_something_late_fell_into_it(
    place: Place, cut: int, half_seconds: int, revision: int, value: float, *, is_in_it: bool
) -> None:
    log = load()
    sink = place.sink("w", choice=Choice())
    epoch = write(sink, log, cut)
    late = columns(
        [0],
        time_us=[BASE_US + half_seconds * STEP_US // 2],
        value=[value],
        revision=[revision],
        stamp_ms=[BASE_US // 1000 + SECONDS * 1000],
        offset=[cut],
    )
    sink.write(flush_of(TABLE, Part(P0, epoch, cut, cut + 1, [late])))
    rest = log.take(slice(cut, None))
    rest.offset[:] += 1
    sink.write(flush_of(TABLE, Part(P0, epoch, cut + 1, len(log) + 1, [rest])))
    assert [late for *_, late in of(place.anomalies(), "rpm")] == [is_in_it, False]
    assert [late for *_, late in of(place.anomalies(), "debug.heap")] == [False, False]


def test_what_is_looked_at_again_is_what_it_was_before_anything_late(place: Place) -> None:
    log, cut = load(), 700
    sink = place.sink("w", choice=Choice())
    epoch = write(sink, log, cut)
    for number, value in enumerate((4.0, 0.0)):
        late = columns(
            [0],
            time_us=[BASE_US + SPIKES[0] * STEP_US],
            value=[value],
            revision=[number + 1],
            stamp_ms=[BASE_US // 1000 + SECONDS * 1000],
            offset=[cut + number],
        )
        sink.write(flush_of(TABLE, Part(P0, epoch, cut + number, cut + number + 1, [late])))
    rest = log.take(slice(cut, None))
    rest.offset[:] += 2
    other = place.sink("other", choice=Choice())
    epoch = other.claim(P0, "other", 0).epoch
    other.write(flush_of(TABLE, Part(P0, epoch, cut + 2, len(log) + 2, [rest])))
    assert of(place.anomalies(), "rpm") == [
        (270, "over", "medium", 1, True),
        (350, "over", "medium", -1, False),
    ]


@pytest.mark.parametrize("readings_per_row", [10, 300, 1_000_000])
def test_cuts_and_owners_change_nothing(
    place: Place, readings_per_row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "READINGS_PER_ROW", readings_per_row)
    monkeypatch.setattr(saving, "ROWS_AT_ONCE", 1)
    log = load()
    whole = place.sink("whole", choice=Choice())
    write(whole, log, len(log))
    expected = place.anomalies(), place.told()
    assert len(expected[0]) >= 4
    place.empty()
    begin = 0
    for number, end in enumerate((7, 150, 565, 566, 640, 750, len(log))):
        write(place.sink(f"w{number}", choice=Choice()), log, (begin + end) // 2, end, begin=begin)
        begin = end
    assert (place.anomalies(), place.told()) == expected


def test_what_is_left_out_has_no_episodes(place: Place) -> None:
    log = load()
    write(place.sink("w", choice=Choice(("debug.*",))), log, 500, len(log))
    assert {each["metric"] for each, _ in place.anomalies()} == {"rpm"}
