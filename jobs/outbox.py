"""What waits to be sent while Kafka is away: bounded, and honest about what it drops."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from jobs.producer import Message


class Outbox:
    """Keeps messages in order until ``offer`` takes them, at most ``max_readings`` of them.

    When it is full the oldest messages go first: ``dropped`` counts their readings, and the gap
    shows in the sequence numbers of what arrives.

    >>> outbox = Outbox(offer=lambda message: False, max_readings=20)
    >>> for payload in (b"1", b"2", b"3"):
    ...     outbox.put(Message(b"host-a", payload, 10))
    >>> outbox.waiting, outbox.dropped
    (20, 10)
    """

    def __init__(self, offer: Callable[[Message], bool], max_readings: int) -> None:
        self._offer = offer
        self._max_readings = max_readings
        self._messages: deque[Message] = deque()
        self.waiting = 0
        self.dropped = 0

    def put(self, message: Message) -> None:
        """Append one message and pass on what can be."""
        self._messages.append(message)
        self.waiting += message.readings
        self.pump()
        while self.waiting > self._max_readings:
            oldest = self._messages.popleft()
            self.waiting -= oldest.readings
            self.dropped += oldest.readings

    def pump(self) -> None:
        """Pass messages on, oldest first, until no more are taken."""
        while self._messages and self._offer(self._messages[0]):
            self.waiting -= self._messages.popleft().readings
