"""Readings as JSON lines: each line is what a JSON message may be, one object or an array of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson

from jobs.formats.base import BadLine, Defaults, Reading, check, parse_quality, shorten
from jobs.formats.times import time_parser

_REQUIRED = ("time", "value")
_TEXTS = ("source", "metric", "tenant", "producer", "quality")
_INTEGERS = ("epoch", "sequence", "revision")
_FIELDS = frozenset({*_REQUIRED, *_TEXTS, *_INTEGERS, "attributes"})


class JsonParser:
    """Reads JSON lines. Times are RFC 3339 text, or numbers in microseconds unless a unit is given.

    >>> line = '{"source": "pump-1", "metric": "rpm", "time": 1714564800000000, "value": 1450}'
    >>> JsonParser(Defaults())(line)[0].value
    1450.0
    """

    def __init__(self, defaults: Defaults) -> None:
        self.skipped: Counter[str] = Counter()
        self._defaults = defaults
        self._parse_time = time_parser("us" if defaults.time_unit == "auto" else defaults.time_unit)

    def __call__(self, line: str) -> list[Reading]:
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise BadLine(f"not JSON: {error}") from None
        return [self._reading(each) for each in (document if isinstance(document, list) else [document])]

    def _reading(self, document: object) -> Reading:
        if not isinstance(document, dict):
            raise BadLine("a reading must be a JSON object")
        _check_types(document)
        attributes = {**dict(self._defaults.attributes), **document.get("attributes", {})}
        value, quality = document["value"], parse_quality(document.get("quality", "good"))
        return check(
            Reading(
                source=document.get("source", self._defaults.source or ""),
                metric=document.get("metric", self._defaults.metric or ""),
                time_us=self._parse_time(str(document["time"])),
                value=float("nan") if value is None else float(value),
                tenant=document.get("tenant", self._defaults.tenant),
                quality=quality,
                revision=document.get("revision", 0),
                attributes=tuple(sorted(attributes.items())),
                producer=document.get("producer"),
                epoch=document.get("epoch", 0),
                sequence=document.get("sequence"),
            )
        )


def _check_types(document: dict[str, Any]) -> None:
    if unknown := document.keys() - _FIELDS:
        raise BadLine(f"unknown field {shorten(min(unknown))!r}")
    for name in _REQUIRED:
        if name not in document:
            raise BadLine(f"field {name!r} is missing")
    for name, value in document.items():
        if not _has_type(name, value):
            raise BadLine(f"field {name!r} has the wrong type")


def _has_type(name: str, value: object) -> bool:
    if name in _TEXTS:
        return isinstance(value, str)
    if name in _INTEGERS:
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "attributes":
        return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
    if name == "time":
        return isinstance(value, str | int) and not isinstance(value, bool)
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
