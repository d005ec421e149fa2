"""A schedule does not depend on how fast anybody is, and marks readings evenly."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from jobs.benchmark.openloop import (
    MARKER_EVERY_S,
    MARKER_METRIC,
    MARKERS,
    Plan,
    introduction,
    marker_source,
    schedule,
)
from jobs.generate import assets
from jobs.producer import Message
from streams.core.batch import Columns, Messages
from streams.core.decode import Decoder
from streams.core.limits import Limits
from streams.core.series import SeriesTable

PLAN = Plan("", "t", rate=2_000.0, seconds=1.0, series=100, batch=20)
START_S = 1_790_000_000.0
MARKED = {(marker_source(number), MARKER_METRIC) for number in range(MARKERS)}


def test_everything_is_due_in_order_at_the_rate_asked_for() -> None:
    due = list(schedule(PLAN, START_S))
    bulk = [each for each in due if each.message.key.startswith(b"generator")]

    assert all(one.at_s <= other.at_s for one, other in pairwise(due))
    assert sum(each.message.readings for each in bulk) == 2_000
    assert bulk[50].at_s - START_S == pytest.approx(0.5)


def decoded(messages: list[Message]) -> tuple[Columns, set[tuple[str, str]]]:
    """Return the readings, and the names of their series."""
    decoder, count = Decoder(Limits(), SeriesTable()), len(messages)
    values = [message.value for message in messages]
    columns = decoder.decode(Messages(values, [None] * count, np.arange(count), np.zeros(count, int))).columns
    return columns, {(key.source, key.metric) for key in decoder.series.keys}


def test_markers_are_due_every_ten_milliseconds_and_say_when() -> None:
    due = [each for each in schedule(PLAN, START_S) if each.message.key.startswith(b"marker")]
    columns, names = decoded([each.message for each in due])

    assert np.abs(np.diff(columns.time_us) - round(MARKER_EVERY_S * 1e6)).max() <= 1
    assert columns.time_us.tolist() == [round(each.at_s * 1e6) for each in due]
    assert names == MARKED


def test_a_plan_knows_how_many_messages_it_sends() -> None:
    assert len(list(schedule(PLAN, START_S))) == PLAN.messages_per_s == 2_000 / 20 + 100 + 10


def test_a_load_without_marks_is_the_load_alone() -> None:
    plain = replace(PLAN, marked=False)

    assert {each.message.key[:9] for each in schedule(plain, START_S)} == {b"generator"}
    assert len(list(schedule(plain, START_S))) == plain.messages_per_s == 100


@pytest.mark.parametrize("series", [3, 100, 1_017])
def test_the_introduction_has_every_series_of_the_plan_before_it_begins(series: int) -> None:
    plan = replace(PLAN, series=series)
    introduced, known = decoded(list(introduction(plan, START_S - 2.0)))
    fleet = assets(plan.load(START_S))

    assert known == {(asset.source, metric) for asset in fleet for metric, _ in asset.metrics} | MARKED
    assert len(introduced) == series + MARKERS
    assert introduced.time_us.max() < START_S * 1e6


def test_the_same_plan_is_the_same_schedule() -> None:
    assert list(schedule(PLAN, START_S)) == list(schedule(PLAN, START_S))
