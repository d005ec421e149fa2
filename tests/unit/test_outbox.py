"""What waits for Kafka is bounded, in order, and what is dropped is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobs.outbox import Outbox
from jobs.producer import Message


@given(
    sizes=st.lists(st.integers(1, 30), max_size=40),
    taken=st.lists(st.booleans(), max_size=40),
    most=st.integers(1, 60),
)
def test_readings_are_sent_in_order_or_wait_or_are_counted_as_dropped(
    sizes: list[int], taken: list[bool], most: int
) -> None:
    sent: list[Message] = []
    answers = iter(taken)

    def offer(message: Message) -> bool:
        takes = next(answers, False)
        if takes:
            sent.append(message)
        return takes

    outbox = Outbox(offer, most)
    for number, size in enumerate(sizes):
        outbox.put(Message(b"", b"%d" % number, size))
        assert outbox.waiting <= most

    numbers = [int(message.value) for message in sent]
    assert numbers == sorted(numbers)
    assert sum(message.readings for message in sent) + outbox.waiting + outbox.dropped == sum(sizes)


def test_the_oldest_go_first() -> None:
    open_for_business = False
    sent: list[bytes] = []

    def offer(message: Message) -> bool:
        if open_for_business:
            sent.append(message.value)
        return open_for_business

    outbox = Outbox(offer, max_readings=20)
    for payload in (b"1", b"2", b"3"):
        outbox.put(Message(b"", payload, 10))
    open_for_business = True
    outbox.pump()

    assert sent == [b"2", b"3"]
    assert (outbox.waiting, outbox.dropped) == (0, 10)
