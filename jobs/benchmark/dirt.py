"""What real producers do to a clean load: they send again, and they send late."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from jobs.producer import Message

DISTANCE = 1_000
"""So many messages lie between a message and its repeat, and so many overtake a late one."""


class Dirt(NamedTuple):
    """Shares of all messages: ``repeated`` were sent before, ``late`` come after their time."""

    repeated: float = 0.0
    late: float = 0.0


def dirtied(messages: Iterable[Message], dirt: Dirt, distance: int = DISTANCE) -> Iterator[Message]:
    """Yield messages with repeats among them and some held back, spread evenly and the same each time.

    >>> some = [Message(b"", bytes([number]), 1) for number in range(4)]
    >>> [message.value[0] for message in dirtied(some, Dirt(repeated=0.5), distance=1)]
    [0, 1, 0, 2, 1, 3, 2, 3]
    >>> [message.value[0] for message in dirtied(some, Dirt(late=0.25), distance=2)]
    [1, 2, 0, 3]
    """
    yield from _repeated(_late(messages, dirt.late, distance), dirt.repeated, distance)


def _repeated(messages: Iterable[Message], share: float, distance: int) -> Iterator[Message]:
    """Send so many again that repeats are ``share`` of all."""
    owed, per_message = 0.0, share / (1 - share)
    waiting: deque[Message] = deque()
    for message in messages:
        yield message
        if share:
            waiting.append(message)
        if len(waiting) > distance:
            again = waiting.popleft()
            owed += per_message
            while owed >= 1:
                yield again
                owed -= 1
    for again in waiting:
        owed += per_message
        while owed >= 1:
            yield again
            owed -= 1


def _late(messages: Iterable[Message], share: float, distance: int) -> Iterator[Message]:
    """Hold back ``share`` of all until ``distance`` others have passed."""
    owed = 1 - share  # the first is held back, so that even few messages have a late one
    held: deque[tuple[int, Message]] = deque()
    for number, message in enumerate(messages):
        owed += share
        if share and owed >= 1:
            held.append((number + distance, message))
            owed -= 1
        else:
            yield message
        while held and held[0][0] <= number:
            yield held.popleft()[1]
    for _, message in held:
        yield message
