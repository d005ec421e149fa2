"""Readings as CSV."""

from __future__ import annotations

import pytest

from jobs.formats.base import BadLine, Defaults, Reading
from jobs.formats.delimited import DelimitedParser, is_header

TIME = "2024-05-01T12:00:00Z"
TIME_US = 1_714_564_800_000_000


def test_two_columns_take_their_names_from_the_user() -> None:
    parse = DelimitedParser("timestamp,value", Defaults(source="pump-1", metric="rpm"))

    assert parse(f"{TIME},1.5") == [Reading("pump-1", "rpm", TIME_US, 1.5)]


def test_named_columns_come_in_any_order_and_the_rest_are_attributes() -> None:
    header = "Value, Source,metric,ts,tenant,quality,revision,unit,site"
    parse = DelimitedParser(header, Defaults(attributes=(("unit", "K"),)))

    assert parse(f'1,"pump, 1",rpm,{TIME},acme,uncertain,2,/min,') == [
        Reading("pump, 1", "rpm", TIME_US, 1.0, "acme", 1, 2, (("unit", "/min"),))
    ]


def test_empty_cells_mean_the_default() -> None:
    parse = DelimitedParser(
        "ts,source,metric,value,tenant,quality,revision", Defaults(source="s", metric="m")
    )

    assert parse(f"{TIME},,,1,,,") == [Reading("s", "m", TIME_US, 1.0)]


def test_a_bad_reading_may_lack_a_number() -> None:
    (reading,) = DelimitedParser("ts,value,quality", Defaults("s", "m"))(f"{TIME},nan,bad")

    assert reading.value != reading.value
    assert reading.quality == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"{TIME}", "1 cells where the header has 4"),
        (f"{TIME},1,good,0,9", "5 cells"),
        (f"{TIME},,good,0", "is not a number"),
        (f"{TIME},1_000,good,0", "is not a number"),
        (f"{TIME},inf,good,0", "not finite"),
        (f"{TIME},1,fair,0", "quality 'fair' is not one of"),
        (f"{TIME},1,good,-1", "revision"),
        (f"{TIME},1,good,2147483648", "revision"),
        ("soon,1,good,0", "neither a date"),
        ("1999-12-31,1,good,0", "not within 2000 and 2100"),
        (f'{TIME},"1,good,0', "not CSV"),
    ],
)
def test_a_line_that_is_wrong_says_why(line: str, reason: str) -> None:
    parse = DelimitedParser("ts,value,quality,revision", Defaults(source="s", metric="m"))

    with pytest.raises(BadLine, match=reason):
        parse(line)


def test_without_a_source_a_reading_is_refused() -> None:
    with pytest.raises(BadLine, match="source is empty"):
        DelimitedParser("ts,value", Defaults(metric="m"))(f"{TIME},1")


def test_a_header_that_names_a_column_twice_is_refused() -> None:
    with pytest.raises(BadLine, match="twice"):
        DelimitedParser("ts,value,value", Defaults())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("timestamp,value", True),
        ("TS, Value", True),
        ("time,source,metric,value,unit", True),
        ("value", False),
        ("2024-05-01,7", False),
    ],
)
def test_a_header_is_known_by_its_names(line: str, expected: bool) -> None:
    assert is_header(line) is expected
