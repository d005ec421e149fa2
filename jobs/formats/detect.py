"""Tells the text forms of readings apart by their first line."""

from __future__ import annotations

from collections.abc import Callable

from jobs.formats.base import BadLine, Defaults, Parser
from jobs.formats.delimited import DelimitedParser, is_header
from jobs.formats.jsonlines import JsonParser
from jobs.formats.lineprotocol import LineProtocolParser, is_line_protocol

FORMATS = ("csv", "json", "influx")


def detect(line: str) -> str:
    """Return the format whose first line ``line`` is. Raises :class:`BadLine`.

    >>> detect('{"source": "pump-1"}'), detect("timestamp,value"), detect("cpu,host=a idle=99 17")
    ('json', 'csv', 'influx')
    """
    if line.lstrip().startswith(("{", "[")):
        return "json"
    if is_header(line):
        return "csv"
    if is_line_protocol(line):
        return "influx"
    raise BadLine(
        "the first line is neither a CSV header with value and timestamp, nor JSON, nor line protocol"
    )


def parser_for(line: str, name: str, defaults: Defaults, now_us: Callable[[], int]) -> tuple[Parser, bool]:
    """Return the parser of format ``name`` and whether ``line``, the first one, is a header.

    Raises :class:`BadLine` when the line is no header where there must be one.
    """
    if name == "json":
        return JsonParser(defaults), False
    if name == "influx":
        return LineProtocolParser(defaults, now_us), False
    if not is_header(line):
        raise BadLine("CSV needs a header that names value and timestamp")
    return DelimitedParser(line, defaults), True
