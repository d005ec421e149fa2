"""Names become small integers, within the limits."""

from __future__ import annotations

import pytest

from streams.core.limits import Limits
from streams.core.names import ANONYMOUS, Names
from streams.core.rejection import Reason, Refused
from streams.core.series import SeriesTable

LIMITS = Limits(max_name_chars=5, max_attributes=2)


def test_the_order_of_attributes_makes_no_other_series() -> None:
    names = Names(LIMITS)
    one = names.series_index("t", "s", "m", [("unit", "m"), ("site", "x")])
    other = names.series_index("t", "s", "m", [("site", "x"), ("unit", "m")])

    assert one == other
    assert names.series.keys[one].attributes == (("site", "x"), ("unit", "m"))


def test_a_name_keeps_its_integer() -> None:
    names = Names(LIMITS)

    assert [names.producer_index(name) for name in ("a", "b", "a", "")] == [1, 2, 1, ANONYMOUS]
    assert [names.series_index("t", "s", metric) for metric in "xyx"] == [0, 1, 0]


def test_names_go_on_in_a_table_that_has_some() -> None:
    table = SeriesTable()
    Names(LIMITS, table).series_index("t", "s", "m")

    assert Names(LIMITS, table).series_index("t", "s", "n") == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (("toolong", "s", "m"), Reason.BAD_NAME),
        (("t", "toolong", "m"), Reason.BAD_NAME),
        (("t", "s", "toolong"), Reason.BAD_NAME),
        (("t", "s", "m", [("toolong", "")]), Reason.BAD_ATTRIBUTES),
        (("t", "s", "m", [("a", "toolong")]), Reason.BAD_ATTRIBUTES),
        (("t", "s", "m", [("a", ""), ("b", ""), ("c", "")]), Reason.BAD_ATTRIBUTES),
    ],
)
def test_what_is_over_a_limit_is_not_remembered(given: tuple[str, str, str], reason: Reason) -> None:
    names = Names(LIMITS)
    with pytest.raises(Refused) as refused:
        names.series_index(*given)

    assert refused.value.reason is reason
    assert (len(names.series), names.size) == (0, 0)


def test_length_is_counted_in_characters_not_bytes() -> None:
    assert Names(LIMITS).series_index("ÄÖÜäö", "s", "m") == 0


def test_a_key_that_is_too_long_names_nobody() -> None:
    names = Names(LIMITS)
    for key in (b"toolong", b"\x00\x01\x02"):
        with pytest.raises(Refused):
            names.producer_of_key(key)

    assert names.producers == [""]


def test_a_long_name_counts_as_several() -> None:
    names = Names(Limits())
    names.series_index("t", "s", "m" * 190)
    names.series_index("t", "s", "m" * 190)
    names.producer_index("p")

    assert names.size == 5
