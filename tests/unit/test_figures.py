"""Rounds are summed up by their median and their spread."""

from __future__ import annotations

import numpy as np

from jobs.benchmark.figures import Figure, medians, percentiles_ms, ratio


def test_one_slow_round_does_not_move_the_median() -> None:
    figure = Figure.of([100.0, 98.0, 20.0, 102.0, 99.0])

    assert (figure.median, figure.lowest, figure.highest) == (99.0, 20.0, 102.0)
    assert figure.spread == 82 / 99


def test_ratios_are_taken_within_a_round() -> None:
    # The machine was half as fast in the second round; of the medians the ratio would be another.
    assert ratio([80.0, 40.0, 90.0], [100.0, 50.0, 90.0]) == Figure(0.8, 0.8, 1.0)


def test_a_name_that_only_some_rounds_have_counts_where_it_is() -> None:
    assert medians([{"copy": 1.0}, {"copy": 2.0, "journal": 7.0}, {"copy": 9.0}]) == {
        "copy": 2.0,
        "journal": 7.0,
    }


def test_the_worst_of_a_thousand_is_in_the_last_percentile() -> None:
    latencies_s = np.full(1000, 0.010)
    latencies_s[-1] = 3.0

    assert percentiles_ms(latencies_s)["p50"] == 10.0
    assert percentiles_ms(latencies_s)["max"] == 3000.0
