"""What the detectors of a single series look at: its value and what is left of it without its daily
pattern, each smoothed over several spans.
"""

from __future__ import annotations

import numpy as np

from streams.core.batch import Float64, Int64
from streams.core.detect.detector import LARGEST_VALUE
from streams.core.detect.deviation import LEAST_BAND
from streams.core.detect.memory import Field, Parts, Rows, SeriesState

SPANS = (1, 4, 16, 64)
"""Each smooths over about so many readings."""

SIGNALS = tuple(f"{what} over {span}" for what in ("value", "residual") for span in SPANS)
"""What each column is called."""

DAY_US = 86_400_000_000
SLOTS = 96
"""Of a day: a quarter of an hour each."""

SLOT_READINGS = 30
"""What is usual in a slot is the mean of about so many of its last readings."""

OVERALL_READINGS = 2000
"""A slot without any takes the mean of about so many of the last readings of all."""

FARTHEST = 3.0
"""A value counts as no farther outside the range seen so far than so many of its widths: one reading of
1e300 would otherwise be all that is ever remembered."""

SETTLED = 16
"""From so many readings on."""


class Signals(Parts):
    """Turns the values of each series into its signals, in the order of ``SIGNALS``.

    >>> signals = Signals()
    >>> signals.grow(1)
    >>> signals.update(np.array([0]), np.array([0]), np.array([5.0])).tolist()
    [[5.0, 5.0, 5.0, 5.0, 0.0, 0.0, 0.0, 0.0]]
    """

    def __init__(self, spans: tuple[int, ...] = SPANS) -> None:
        self._weights = 2.0 / (np.array(spans) + 1.0)
        self._state = SeriesState(
            {
                "count": Field((), np.int64),
                "low": Field((), np.float64),
                "high": Field((), np.float64),
                "smooth": Field((2, len(spans)), np.float64),
                "mean": Field((), np.float64),
                "slot_mean": Field((SLOTS,), np.float64),
                "slot_count": Field((SLOTS,), np.uint8),
            }
        )
        super().__init__({"state": self._state})

    def update(self, rows: Rows, time_us: Int64, value: Float64) -> Float64:
        """Return a row of signals for the next reading of each of some series, all of them finite."""
        state = self._state
        count = state["count"][rows]
        value = self._within_reach(rows, count, value)
        residual = value - self._usual(rows, time_us, value, count)
        residual[np.abs(residual) < LEAST_BAND * np.abs(value)] = 0.0
        newest = np.stack([value, residual], axis=1)[:, :, None]
        weight = np.maximum(self._weights, 1.0 / (count[:, None] + 1.0))[:, None, :]
        smooth = state["smooth"].take(rows, axis=0)
        smooth += weight * (newest - smooth)
        smooth[:, :, :1] = newest
        state["smooth"][rows] = smooth
        state["count"][rows] = count + 1
        return smooth.reshape(len(rows), 2 * len(self._weights))

    def _within_reach(self, rows: Rows, count: Int64, value: Float64) -> Float64:
        """Return the values, each brought as near to the range seen so far as it has to be."""
        state = self._state
        low, high = state["low"][rows], state["high"][rows]
        reach = np.where(high > low, high - low, np.abs(high)) * FARTHEST
        reach[(count < SETTLED) | (reach == 0.0)] = np.inf
        # A negative zero becomes a plain one: which of two equal numbers a comparison returns is not defined.
        value = np.clip(
            value + 0.0, np.maximum(low - reach, -LARGEST_VALUE), np.minimum(high + reach, LARGEST_VALUE)
        )
        state["low"][rows] = np.where(count, np.minimum(low, value), value)
        state["high"][rows] = np.where(count, np.maximum(high, value), value)
        return value

    def _usual(self, rows: Rows, time_us: Int64, value: Float64, count: Int64) -> Float64:
        """Return what was usual at this time of day before, and learn from the value."""
        state = self._state
        slot = time_us % DAY_US * SLOTS // DAY_US
        of_slot, known = state["slot_mean"][rows, slot], state["slot_count"][rows, slot]
        mean = np.where(count, state["mean"][rows], value)
        usual = np.where(known, of_slot, mean)
        known = np.minimum(known + 1, SLOT_READINGS)
        state["slot_mean"][rows, slot] = of_slot + (value - of_slot) / known
        state["slot_count"][rows, slot] = known
        state["mean"][rows] = mean + (value - mean) / np.minimum(count + 1, OVERALL_READINGS)
        return usual
