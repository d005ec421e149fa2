r"""Readings as InfluxDB line protocol: ``measurement[,tag=value…] field=value[,…] [timestamp]``.

Backslashes escape commas and spaces in a measurement, also = in tags and field keys, and " and
backslash in quoted field values; elsewhere a backslash is itself. A quoted value ends on its line.

Source: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from jobs.formats.base import BadLine, Defaults, Reading, check, parse_number, shorten
from jobs.formats.times import UNITS_PER_S

SOURCE_TAGS = ("source", "host")
"""Tags that name the source, the first one present."""

_NAME = r"(?:[^\\,= ]|\\.)+"
_FIELD = rf'{_NAME}=(?:"(?:[^"\\]|\\.)*"|[^,\s"=\\]+)'
_LINE = re.compile(
    r"(?P<measurement>(?:[^\\, ]|\\.)+)"
    rf"(?P<tags>(?:,{_NAME}={_NAME})*)"
    rf" +(?P<fields>{_FIELD}(?:,{_FIELD})*)"
    r"(?: +(?P<time>-?\d{1,20}))?\s*"
)
_PAIR = re.compile(rf'({_NAME})=("(?:[^"\\]|\\.)*"|(?:[^\\,= ]|\\.)+)')
_INTEGER = re.compile(r"(-?\d+)i|(\d+)u")
_BOOLEANS = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), 1.0),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), 0.0),
}


def is_line_protocol(line: str) -> bool:
    """Return whether ``line`` has the form of line protocol.

    >>> is_line_protocol("weather temperature=82"), is_line_protocol("2024-05-01,82")
    (True, False)
    """
    return _LINE.fullmatch(line) is not None


class LineProtocolParser:
    """Reads line protocol. A line without a time gets ``now_us()``.

    The metric is ``measurement.field``, or the measurement alone where the field is called ``value``.
    The source is tag ``source`` or ``host`` (else the default), followed by ``/tag=value`` of the
    other tags, because they tell series apart. Tags are attributes of the series as well. Booleans
    become 1 and 0; text is skipped and counted.

    >>> parse = LineProtocolParser(Defaults(), now_us=lambda: 0)
    >>> line = "cpu,host=a,cpu=0 idle=99.5,steal=0i 1714564800000000000"
    >>> [(r.source, r.metric, r.value) for r in parse(line)]
    [('a/cpu=0', 'cpu.idle', 99.5), ('a/cpu=0', 'cpu.steal', 0.0)]
    """

    def __init__(self, defaults: Defaults, now_us: Callable[[], int]) -> None:
        self.skipped: Counter[str] = Counter()
        self._defaults = defaults
        self._now_us = now_us
        self._per_s = UNITS_PER_S["ns" if defaults.time_unit == "auto" else defaults.time_unit]

    def __call__(self, line: str) -> list[Reading]:
        match = _LINE.fullmatch(line)
        if match is None:
            raise BadLine("not line protocol: measurement[,tag=value…] field=value[,…] [timestamp]")
        measurement = _unescape(match["measurement"], ", ")
        tags = {_unescape(k, ",= "): _unescape(v, ",= ") for k, v in _PAIR.findall(match["tags"])}
        source = self._source(tags)
        attributes = tuple(sorted({**dict(self._defaults.attributes), **tags}.items()))
        time_us = int(match["time"]) * 1_000_000 // self._per_s if match["time"] else self._now_us()
        readings = []
        for key, text in _PAIR.findall(match["fields"]):
            if text.startswith('"'):
                self.skipped["text is not a number"] += 1
                continue
            field = _unescape(key, ",= ")
            reading = Reading(
                source=source,
                metric=measurement if field == "value" else f"{measurement}.{field}",
                time_us=time_us,
                value=_number(text),
                tenant=self._defaults.tenant,
                attributes=attributes,
            )
            readings.append(check(reading))
        return readings

    def _source(self, tags: dict[str, str]) -> str:
        named = next((tag for tag in SOURCE_TAGS if tag in tags), None)
        owner = tags[named] if named else self._defaults.source
        if not owner:
            raise BadLine("no tag source or host; say whose readings these are with --source")
        return "/".join([owner, *(f"{k}={v}" for k, v in sorted(tags.items()) if k not in (named, "unit"))])


def _unescape(text: str, special: str) -> str:
    return re.sub(rf"\\([{special}])", r"\1", text) if "\\" in text else text


def _number(text: str) -> float:
    if integer := _INTEGER.fullmatch(text):
        return float(integer[1] or integer[2])
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise BadLine(f"value {shorten(text)!r} is not a number")
    return parse_number(text)
