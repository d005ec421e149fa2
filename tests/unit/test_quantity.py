"""Numbers with units as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.top.quantity import compact, number, quantity


@pytest.mark.parametrize(
    ("value", "unit", "metric", "told"),
    [
        (0.0, "By", "", "0 B"),
        (1023.0, "By", "", "1,023 B"),
        (1024.0, "By/s", "", "1 KiB/s"),
        (3.5 * 2**40, "By", "", "3.50 TiB"),
        (1.0, "1", "system.cpu.utilization", "100 %"),
        (0.5, "1", "system.cpu.load_average.1m", "0.500"),
        (90.0, "s", "", "90 s"),
        (600.0, "s", "", "10 min"),
        (200_000.0, "s", "", "2.31 d"),
        (-40.25, "Cel", "", "-40.2 °C"),
        (1450.0, "/min", "", "1,450 /min"),
        (12_500_000.0, "W", "", "12.5 MW"),
        (17.0, "{process}", "", "17"),
        (3.0, None, "", "3"),
        (None, "By", "", "–"),
        (float("nan"), "By", "", "–"),
    ],
)
def test_a_value_is_told_in_its_unit(value: float | None, unit: str | None, metric: str, told: str) -> None:
    assert quantity(value, unit, metric) == told


def test_a_narrow_column_needs_no_space() -> None:
    assert compact(3.5 * 2**20, "By/s") == "3.50M/s"


@given(st.floats(-1e15, 1e15))
def test_a_number_is_told_to_three_digits(value: float) -> None:
    told = float(number(value).replace(",", ""))

    assert told == pytest.approx(value, rel=0.051 if abs(value) < 0.001 else 0.0051)


@given(st.just(0.0) | st.floats(1e-9, 1e10), st.sampled_from(["By", "By/s", "1", "s", "W", ""]))
def test_a_value_fits_its_column(value: float, unit: str) -> None:
    assert len(quantity(value, unit)) <= 11
