"""Readings as Influx line protocol."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.formats.base import BadLine, Defaults, Reading
from jobs.formats.lineprotocol import LineProtocolParser, is_line_protocol

TIME_US = 1_714_564_800_000_000
NO_DEFAULTS = Defaults()
TIME_NS = TIME_US * 1000

# A backslash before a special character cannot be written down in line protocol, so none is drawn.
NAMES = st.text(
    st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\\\x85\u2028\u2029"),
    min_size=1,
    max_size=12,
).filter(lambda text: text.strip() == text and not text.startswith("#"))


def _parse(line: str, defaults: Defaults = NO_DEFAULTS) -> list[Reading]:
    return LineProtocolParser(defaults, now_us=lambda: TIME_US)(line)


def _escape(text: str, special: str) -> str:
    return re.sub(rf"([{special}])", r"\\\1", text)


@given(
    measurement=NAMES,
    tags=st.dictionaries(
        NAMES.filter(lambda name: name not in ("host", "source", "unit")), NAMES, max_size=3
    ),
    fields=st.dictionaries(NAMES, st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=3),
)
def test_what_was_written_with_escapes_is_read_back(
    measurement: str, tags: dict[str, str], fields: dict[str, float]
) -> None:
    line = ",".join(
        [
            _escape(measurement, ", "),
            "host=a",
            *(f"{_escape(key, ',= ')}={_escape(text, ',= ')}" for key, text in tags.items()),
        ]
    )
    line += " " + ",".join(f"{_escape(key, ',= ')}={number!r}" for key, number in fields.items())

    readings = _parse(f"{line} {TIME_NS}")

    assert [(each.metric, each.value) for each in readings] == [
        (measurement if key == "value" else f"{measurement}.{key}", number) for key, number in fields.items()
    ]
    assert {each.source for each in readings} == {
        "/".join(["a", *(f"{k}={v}" for k, v in sorted(tags.items()))])
    }
    assert {each.attributes for each in readings} == {tuple(sorted({"host": "a", **tags}.items()))}
    assert {each.time_us for each in readings} == {TIME_US}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("-1.5e-3", -0.0015),
        ("42i", 42.0),
        ("-7i", -7.0),
        ("42u", 42.0),
        ("t", 1.0),
        ("FALSE", 0.0),
    ],
)
def test_every_numeric_type_is_read(text: str, value: float) -> None:
    assert [each.value for each in _parse(f"m,host=a value={text}")] == [value]


def test_text_fields_are_skipped_and_counted() -> None:
    parse = LineProtocolParser(Defaults(), now_us=lambda: TIME_US)

    readings = parse(r'm,host=a state="on, a=1 \" off",value=2,note="" 1714564800000000000')

    assert [each.value for each in readings] == [2.0]
    assert parse.skipped == {"text is not a number": 2}


def test_a_line_without_a_time_has_the_time_of_reading_it() -> None:
    assert _parse("m,host=a value=1")[0].time_us == TIME_US


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000), ("us", 10**6), ("ns", 10**9)])
def test_times_are_nanoseconds_unless_a_unit_is_given(unit: str, factor: int) -> None:
    line = f"m,host=a value=1 {TIME_US * factor // 10**6}"

    assert _parse(line, Defaults(time_unit=unit))[0].time_us == TIME_US


@pytest.mark.parametrize(
    ("line", "source"),
    [
        ("m,host=a value=1", "a"),
        ("m,source=b,host=a value=1", "b/host=a"),
        ("m,host=a,unit=Cel,cpu=0 value=1", "a/cpu=0"),
        ("m value=1", "given"),
        ("m,cpu=1 value=1", "given/cpu=1"),
    ],
)
def test_tags_tell_the_source(line: str, source: str) -> None:
    assert _parse(line, Defaults(source="given"))[0].source == source


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("m value=1", "--source"),
        ("m,host=a", "not line protocol"),
        ("m,host= value=1", "not line protocol"),
        ("m,host=a value=1 soon", "not line protocol"),
        ("m,host=a value=1=2", "not line protocol"),
        ('m,host=a value="open', "not line protocol"),
        ("m,host=a value=NaN", "not a number"),
        ("m,host=a value=-inf", "not a number"),
        ("m,host=a value=1x", "not a number"),
        ("m,host=a value=1.5i", "not a number"),
        ("m,host=a value=1 1714564800", "is its unit right"),
    ],
)
def test_a_line_that_is_wrong_says_why(line: str, reason: str) -> None:
    with pytest.raises(BadLine, match=reason):
        _parse(line)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(line: str) -> None:
    try:
        readings = _parse(line)
    except BadLine:
        return
    assert is_line_protocol(line)
    assert all(isinstance(each.value, float) for each in readings)
