"""Readings as JSON lines: exactly what a JSON message may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobs.formats.base import BadLine, Defaults, Reading
from jobs.formats.jsonlines import JsonParser

TIME_US = 1_714_564_800_000_000
NO_DEFAULTS = Defaults()
PLAIN: dict[str, Any] = {"source": "pump-1", "metric": "rpm", "time": TIME_US, "value": 1.5}


def _parse(document: object, defaults: Defaults = NO_DEFAULTS) -> list[Reading]:
    return JsonParser(defaults)(json.dumps(document))


def test_a_line_is_one_reading_or_an_array_of_them() -> None:
    reading = Reading("pump-1", "rpm", TIME_US, 1.5)

    assert _parse(PLAIN) == [reading]
    assert _parse([PLAIN, PLAIN]) == [reading, reading]


def test_every_field_is_kept() -> None:
    optional = {
        "time": "2024-05-01T14:00:00+02:00",
        "tenant": "acme",
        "producer": "plc-7",
        "epoch": 3,
        "sequence": 9,
        "quality": "bad",
        "value": None,
        "revision": 1,
        "attributes": {"unit": "/min", "site": "north"},
    }
    (reading,) = _parse({**PLAIN, **optional})

    assert reading._replace(value=0.0) == Reading(
        "pump-1", "rpm", TIME_US, 0.0, "acme", 2, 1, (("site", "north"), ("unit", "/min")), "plc-7", 3, 9
    )


def test_numbers_without_a_unit_are_microseconds() -> None:
    (in_ms,) = _parse({**PLAIN, "time": TIME_US // 1000}, Defaults(time_unit="ms"))

    assert in_ms.time_us == TIME_US
    with pytest.raises(BadLine, match="is its unit right"):
        _parse({**PLAIN, "time": TIME_US // 1000})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"value": "1.5"}, "'value' has the wrong type"),
        ({"value": True}, "'value' has the wrong type"),
        ({"value": None}, "not finite"),
        ({"time": 1.5}, "'time' has the wrong type"),
        ({"time": "soon"}, "neither a date"),
        ({"sequence": "1"}, "'sequence' has the wrong type"),
        ({"sequence": 1}, "need a producer"),
        ({"producer": "a\nb"}, "control character"),
        ({"producer": "a", "sequence": 1 << 63}, "must fit 64 bits"),
        ({"revision": -1}, "revision"),
        ({"quality": "fair"}, "quality"),
        ({"attributes": {"a": 1}}, "'attributes' has the wrong type"),
        ({"source": ""}, "source is empty"),
        ({"metric": "x" * 201}, "200 are allowed"),
        ({"attributes": {"unit": "° C"}}, "unit"),
    ],
)
def test_a_field_that_is_wrong_says_why(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadLine, match=reason):
        _parse({**PLAIN, **change})


@pytest.mark.parametrize("name", ["time", "value"])
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(BadLine, match=f"'{name}' is missing"):
        _parse({key: value for key, value in PLAIN.items() if key != name})


@pytest.mark.parametrize("line", ["{", "7", '"text"', "null", "[1]"])
def test_what_is_no_reading_is_refused(line: str) -> None:
    with pytest.raises(BadLine):
        JsonParser(Defaults())(line)
