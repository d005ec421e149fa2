"""Repeats and late messages: as many as asked for, and nothing lost."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from jobs.benchmark.dirt import Dirt, dirtied
from jobs.producer import Message


def _messages(count: int) -> list[Message]:
    return [Message(b"", number.to_bytes(4), 1) for number in range(count)]


@given(st.integers(0, 300), st.floats(0, 0.9), st.floats(0, 0.9), st.integers(1, 40))
def test_every_message_is_sent_and_only_repeats_are_added(
    count: int, repeated: float, late: float, distance: int
) -> None:
    sent = Counter(dirtied(_messages(count), Dirt(repeated, late), distance))
    again = sum(sent.values()) - count

    assert set(sent) == set(_messages(count))
    assert abs(again - count * repeated / (1 - repeated)) < 1 + 1e-6


@given(st.integers(1, 300), st.floats(0.01, 0.9), st.integers(1, 40))
def test_so_many_come_late_as_asked_for(count: int, late: float, distance: int) -> None:
    sent = [int.from_bytes(message.value) for message in dirtied(_messages(count), Dirt(late=late), distance)]
    overtaken = sum(number < max(sent[: at + 1]) for at, number in enumerate(sent))

    assert overtaken <= count * late + 1


def test_nothing_is_done_to_a_clean_load() -> None:
    assert list(dirtied(_messages(50), Dirt())) == _messages(50)


def test_a_repeat_is_far_from_what_it_repeats() -> None:
    sent = list(dirtied(_messages(100), Dirt(repeated=0.5), distance=10))
    first = {message: sent.index(message) for message in sent}
    again = [at - first[message] for at, message in enumerate(sent) if at != first[message]]

    assert len(again) == 100
    assert min(again) >= 10
