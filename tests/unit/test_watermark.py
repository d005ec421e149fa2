"""The watermark by examples: who holds it back, and who does not."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core.batch import NEVER_US
from streams.core.validate import LATEST_US
from streams.core.watermark import Patience, Watermark

S = 1_000_000
PATIENCE = Patience(lateness_us=10 * S, idle_ms=60_000, lag_us=300 * S)
Sent = tuple[int, float, float]
"""Producer, the second of its record's Kafka timestamp, and the second of its event time."""


def after(watermark: Watermark, *sent: Sent) -> Watermark:
    """Return the watermark after these readings."""
    producer, stamp_s, time_s = (np.array(column) for column in zip(*sent, strict=True))
    moved, _ = watermark.after(
        producer.astype(np.int32), (time_s * S).astype(np.int64), (stamp_s * 1000).astype(np.int64)
    )
    return moved


def seconds(*sent: Sent) -> float | None:
    """Return the watermark after these readings of a new log, in seconds."""
    us = after(Watermark(PATIENCE), *sent).us
    return None if us == NEVER_US else us / S


def test_it_follows_the_slowest_producer_at_a_distance() -> None:
    assert seconds((0, 1000.0, 1000.0), (1, 1000.5, 997.0), (0, 1001.0, 1001.0)) == 987.0


def test_it_moves_where_another_second_begins_by_what_came_before() -> None:
    assert seconds((0, 1000.0, 1000.0), (0, 1000.9, 1000.9)) is None
    assert seconds((0, 1000.0, 1000.0), (0, 1001.0, 1000.9), (0, 1001.9, 1001.9)) == 990.0


def test_a_producer_that_is_idle_is_not_waited_for() -> None:
    log: list[Sent] = [(0, 1000.0, 1000.0), (1, 1000.0, 990.0)]
    assert seconds(*log, (0, 1060.0, 1060.0), (0, 1061.0, 1061.0)) == 1050.0
    assert seconds(*log, (0, 1060.0, 1060.0), (0, 1060.9, 1060.9)) == 980.0


def test_one_that_comes_back_vouches_for_what_it_sends_then() -> None:
    log: list[Sent] = [(1, 1000.0, 1000.0), (0, 1050.0, 1050.0), (0, 1080.0, 1080.0)]
    assert seconds(*log, (1, 1080.5, 1060.0), (0, 1081.0, 1081.0)) == 1050.0
    assert seconds(*log, (1, 1080.5, 990.0), (0, 1081.0, 1081.0)) == 1040.0


def test_one_that_computes_what_it_sends_is_waited_for_only_where_there_is_nobody_else() -> None:
    watermark = Watermark(PATIENCE)
    watermark.computing = [1, 7]
    beside: list[Sent] = [(1, 1000.0, 900.0), (0, 1000.5, 1000.5), (1, 1001.0, 901.0)]
    assert after(watermark, *beside).us == 990.5 * S
    assert after(watermark, *beside, (1, 1099.0, 950.0), (1, 1100.0, 960.0)).us == 990.5 * S

    alone: list[Sent] = [(1, 1000.0, 900.0), (1, 1060.0, 960.0), (1, 1061.0, 961.0)]
    assert after(watermark, *alone).us == 950.0 * S


def test_a_lone_producer_may_be_as_slow_as_it_likes() -> None:
    assert seconds((0, 1000.0, 1000.0), (0, 4600.0, 4600.0)) == 990.0
    assert seconds((0, 1000.0, 1000.0), (0, 4600.0, 4600.0), (0, 8200.0, 8200.0)) == 4590.0


def test_a_producer_that_is_far_behind_is_not_waited_for() -> None:
    a_day_ago = 1_000_000.0 - 86_400
    sent = [(0, 1_000_000.0, 1_000_000.0), (1, 1_000_000.0, a_day_ago), (0, 1_000_001.0, 1_000_001.0)]
    assert seconds(*sent) == 999_990.0


def test_one_whose_clock_is_ahead_takes_nobody_with_it() -> None:
    sent = [(0, 10_000.0, 13_000.0), (1, 10_000.0, 10_000.0), (0, 10_001.0, 13_001.0)]
    assert seconds(*sent) == 9_990.0
    assert seconds(*sent[::2]) == 10_001.0 - 10.0


def test_it_follows_history_that_is_sent_years_later() -> None:
    sent = [(0, 1_000_000.0, 500.0), (1, 1_000_000.0, 450.0), (0, 1_000_001.0, 501.0)]
    assert seconds(*sent) == 440.0


def test_it_never_falls() -> None:
    watermark = after(Watermark(PATIENCE), (0, 1000.0, 1000.0), (0, 1001.0, 1001.0))
    assert after(watermark, (1, 1001.5, 900.0), (0, 1002.0, 1002.0)).us == watermark.us


def test_a_clock_that_was_set_back_begins_anew() -> None:
    watermark = after(Watermark(PATIENCE), (0, 9000.0, 1000.0), (0, 9001.0, 1001.0), (0, 8950.0, 1002.0))
    assert (watermark.clock_ms, watermark.era) == (9_001_000, 0)
    watermark = after(watermark, (0, 5000.0, 1003.0), (0, 5001.0, 1004.0))
    assert (watermark.clock_ms, watermark.era, watermark.us) == (5_001_000, 1, 993 * S)


@pytest.mark.parametrize(("now_s", "expected_s"), [(1059.0, 990.0), (1062.0, 940.0)])
def test_what_is_stored_of_producers_is_all_that_the_next_owner_needs(
    now_s: float, expected_s: float
) -> None:
    early: list[Sent] = [(0, 1000.0, 1000.0), (1, 1000.0, 900.0), (1, 1055.0, 900.0)]
    heard = after(Watermark(PATIENCE), *early).heard(np.array([0, 1]))
    before = after(Watermark(PATIENCE), *early, (2, now_s, 1058.0))
    restored = Watermark(PATIENCE, before.clock_ms, before.era, before.us)
    for producer, last in enumerate([*heard, *before.heard(np.array([2]))]):
        restored.restore(producer, last)
    rest: list[Sent] = [(1, now_s, 1058.0), (0, now_s, 950.0), (2, now_s + 1.0, 1058.0)]
    assert after(restored, *rest).us == after(before, *rest).us == expected_s * S


def test_a_producer_of_an_earlier_era_is_not_waited_for() -> None:
    (heard,) = after(Watermark(PATIENCE), (0, 1000.0, 900.0)).heard(np.array([0]))
    watermark = Watermark(PATIENCE, 1_000_000, era=1)
    watermark.restore(0, heard)
    assert watermark.heard(np.array([0]))[0].high_us is None


def test_stamps_beyond_all_bounds_are_brought_within() -> None:
    watermark, _ = Watermark(PATIENCE).after(
        np.zeros(2, np.int32), np.array([S, 2 * S]), np.array([-1, 2**62])
    )
    assert watermark.clock_ms == LATEST_US // 1000


def test_nothing_changes_nothing() -> None:
    none = np.empty(0, np.int64)
    watermark, of_each = Watermark(PATIENCE).after(none.astype(np.int32), none, none)
    assert (watermark.clock_ms, watermark.us, len(of_each)) == (None, NEVER_US, 0)
