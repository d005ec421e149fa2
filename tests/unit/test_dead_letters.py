"""What is sent for a dead letter, and which are meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest
import typer

from jobs.cli.dead_letters import since
from jobs.dead_letters import COUNTED, message_of
from streams.core.rejection import WHOLE_RECORD, Reason

READING = orjson.dumps({"source": "pump-1", "value": 1.5, "producer": "plc-1", "epoch": 3, "sequence": 41})


@pytest.mark.parametrize("reason", Reason)
def test_a_whole_record_is_sent_as_it_came(reason: Reason) -> None:
    assert message_of(WHOLE_RECORD, reason.value, b"\xde\xad") == b"\xde\xad"


@pytest.mark.parametrize("reason", sorted(set(Reason) - COUNTED))
def test_a_reading_that_was_refused_before_its_number_counted_keeps_it(reason: Reason) -> None:
    assert message_of(7, reason.value, READING) == READING


@pytest.mark.parametrize("reason", sorted(COUNTED))
def test_a_number_that_was_counted_is_not_used_again(reason: Reason) -> None:
    sent = orjson.loads(message_of(7, reason.value, READING))
    assert sent == {"source": "pump-1", "value": 1.5, "producer": "plc-1", "epoch": 3}


def test_a_conflict_can_be_sent_as_a_correction() -> None:
    assert orjson.loads(message_of(0, "conflict", READING, revision=2))["revision"] == 2


@pytest.mark.parametrize(("text", "ago"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("7d", 604_800)])
def test_a_time_may_be_told_as_how_long_ago(text: str, ago: int) -> None:
    before = datetime.now(UTC) - timedelta(seconds=ago)
    assert before <= since(text) <= datetime.now(UTC) - timedelta(seconds=ago)


def test_a_date_without_an_offset_is_utc() -> None:
    assert since("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "2w", "-2h", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is neither like 30m"):
        since(text)
