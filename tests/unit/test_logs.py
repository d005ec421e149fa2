"""Logs are for people on a terminal and for programs elsewhere, and hold no secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from streams.logs import set_up_logging

SECRET = "postgresql://owner:hunter22@db/streamgauge"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_off_a_terminal_each_record_is_one_line_of_json() -> None:
    stream = io.StringIO()
    set_up_logging("auto", "INFO", stream)

    logging.getLogger("streams.agents").warning("flushed %d", 5, extra={"rows": 5, "where": SECRET})

    line = json.loads(stream.getvalue())
    assert (line["level"], line["logger"], line["message"], line["rows"]) == (
        "WARNING",
        "streams.agents",
        "flushed 5",
        5,
    )
    assert line["at"].endswith("+00:00")
    assert "hunter22" not in stream.getvalue()


def test_on_a_terminal_a_record_is_for_people() -> None:
    stream = Terminal()
    set_up_logging("auto", "INFO", stream)

    logging.getLogger("jobs").info("connected to %s", SECRET, extra={"rows": 5})

    assert "jobs: connected to postgresql://owner:***@db/streamgauge rows=5" in stream.getvalue()


def test_the_format_asked_for_beats_the_terminal() -> None:
    stream = Terminal()
    set_up_logging("json", "INFO", stream)

    logging.getLogger("jobs").info("here")

    assert json.loads(stream.getvalue())["message"] == "here"


@pytest.mark.parametrize("log_format", ["human", "json"])
def test_a_traceback_is_logged_without_its_secrets(log_format: str) -> None:
    stream = io.StringIO()
    set_up_logging(log_format, "INFO", stream)

    try:
        raise ConnectionError(SECRET)
    except ConnectionError:
        logging.getLogger("sinks").exception("failed")

    assert "ConnectionError" in stream.getvalue()
    assert "hunter22" not in stream.getvalue()


def test_levels_below_the_one_asked_for_are_not_logged() -> None:
    stream = io.StringIO()
    set_up_logging("human", "WARNING", stream)

    logging.getLogger("jobs").info("here")

    assert stream.getvalue() == ""
