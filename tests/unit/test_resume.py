"""What a decision about a partition means: which offsets it stands for, leaves out, or reads again."""

from __future__ import annotations

import pytest

from jobs.resume import Decision, Log, State, parse_partition, target
from streams.errors import UsageError

LOG = Log(50, 200, "now")


def state(next_offset: int, topic_id: str | None = "now") -> State:
    return State(next_offset, topic_id, "worker", None, None)


@pytest.mark.parametrize(
    ("where", "offset"), [("earliest", 50), ("latest", 200), ("stored", 70), ("50", 50), ("200", 200)]
)
def test_words_and_numbers_stand_for_offsets_of_the_log(where: str, offset: int) -> None:
    assert target(where, state(70), LOG) == offset


@pytest.mark.parametrize("where", ["49", "201", "-1", "newest", "", "٣"])
def test_what_the_log_does_not_hold_is_refused(where: str) -> None:
    with pytest.raises(UsageError):
        target(where, state(70), LOG)


def test_a_partition_cannot_go_on_where_it_was_halted() -> None:
    with pytest.raises(UsageError, match="begins at 50 and ends at 200"):
        target("stored", state(30), LOG)


@pytest.mark.parametrize(
    ("stored", "to", "left_out", "read_again"),
    [
        (70, 70, 0, 0),
        (70, 100, 30, 0),
        (70, 60, 0, 10),
        (30, 50, 0, 0),  # what retention took is not left out by the decision
        (30, 55, 5, 0),
        (300, 150, 0, 50),
        (300, 200, 0, 0),
    ],
)
def test_what_is_left_out_and_what_is_read_again(
    stored: int, to: int, left_out: int, read_again: int
) -> None:
    decision = Decision(state(stored), LOG, to)
    assert (decision.recreated, decision.left_out, decision.read_again) == (False, left_out, read_again)


def test_nothing_of_another_topic_was_read_before() -> None:
    decision = Decision(state(100, "former"), LOG, 80)
    assert (decision.recreated, decision.left_out, decision.read_again) == (True, 30, 0)


@pytest.mark.parametrize("was", [None, "now"])
def test_a_topic_without_an_id_is_not_another(was: str | None) -> None:
    assert not Decision(state(100, was), Log(50, 200, None), 80).recreated
    assert not Decision(state(100, was), LOG, 80).recreated


@pytest.mark.parametrize("text", ["", "x", "/3", "a/", "a/-1", "a/x", "٣"])
def test_what_is_no_partition_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_partition(text, "telemetry.readings")


def test_a_topic_may_have_a_name_with_dots() -> None:
    assert parse_partition("a.b/7", "telemetry.readings") == ("a.b", 7)
