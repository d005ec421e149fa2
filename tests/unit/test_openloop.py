"""A schedule does not depend on how fast anybody is, and marks readings evenly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from jobs.benchmark.openloop import MARKER_EVERY_S, MARKERS, Plan, marker_source, schedule
from streams.core.batch import Messages
from streams.core.decode import Decoder
from streams.core.limits import Limits
from streams.core.series import SeriesTable

PLAN = Plan("", "t", rate=2_000.0, seconds=1.0, start_s=1_790_000_000.0, series=100, batch=20)


def test_everything_is_due_in_order_at_the_rate_asked_for() -> None:
    due = list(schedule(PLAN))
    bulk = [each for each in due if not each.message.key.startswith(b"marker")]

    assert all(one.at_s <= other.at_s for one, other in pairwise(due))
    assert sum(each.message.readings for each in bulk) == 2_000
    assert bulk[50].at_s - PLAN.start_s == pytest.approx(0.5)


def test_markers_are_due_every_ten_milliseconds_and_say_when() -> None:
    due = [each for each in schedule(PLAN) if each.message.key.startswith(b"marker")]
    decoder = Decoder(Limits(), SeriesTable())
    count = len(due)
    decoded = decoder.decode(
        Messages([each.message.value for each in due], [None] * count, np.arange(count), np.zeros(count, int))
    )
    time_us = decoded.columns.time_us

    assert np.abs(np.diff(time_us) - round(MARKER_EVERY_S * 1e6)).max() <= 1
    assert time_us.tolist() == [round(each.at_s * 1e6) for each in due]
    assert {key.source for key in decoder.series.keys} == {marker_source(n) for n in range(MARKERS)}


def test_the_same_plan_is_the_same_schedule() -> None:
    assert list(schedule(PLAN)) == list(schedule(PLAN))
