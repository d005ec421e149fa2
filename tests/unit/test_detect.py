"""The first line tells the form."""

from __future__ import annotations

import pytest

from jobs.formats.base import BadLine, Defaults
from jobs.formats.detect import FORMATS, detect, parser_for

FIRST_LINES = {
    "csv": "ts,source,metric,value",
    "json": '{"source":"a","metric":"b","time":1714564800000000,"value":1}',
    "influx": "cpu,host=a idle=99 1714564800000000000",
}


@pytest.mark.parametrize("name", FORMATS)
def test_each_form_is_known_by_its_first_line(name: str) -> None:
    assert detect(FIRST_LINES[name]) == name


@pytest.mark.parametrize("line", ["2024-05-01,1", "hello", "<xml/>", "source,metric"])
def test_a_first_line_of_no_form_is_refused(line: str) -> None:
    with pytest.raises(BadLine, match="neither"):
        detect(line)


@pytest.mark.parametrize("name", FORMATS)
def test_only_csv_begins_with_a_header(name: str) -> None:
    assert parser_for(FIRST_LINES[name], name, Defaults(), lambda: 0)[1] is (name == "csv")


def test_csv_needs_a_header() -> None:
    with pytest.raises(BadLine, match="needs a header"):
        parser_for("2024-05-01,1", "csv", Defaults(), lambda: 0)
