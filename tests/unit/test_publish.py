"""Publishing sends what is good, tells what is not, and knows when to stop."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from jobs.batcher import Batcher
from jobs.formats.base import Defaults
from jobs.lines import MAX_LINE_BYTES
from jobs.producer import Message
from jobs.publish import Publisher, Summary
from streams.errors import UserError

TIME = "2024-05-01T12:00:00Z"


class Run:
    """One run of a publisher over given lines."""

    def __init__(self, lines: Iterable[bytes | None], *, form: str = "auto", strict: bool = False) -> None:
        self.sent: list[Message] = []
        self.refused: list[tuple[int, str]] = []
        self.summary = Summary()
        self.error = ""
        publisher = Publisher(
            batcher=Batcher("me", epoch=1, max_readings=2),
            send=self.sent.append,
            on_refused=lambda line, reason: self.refused.append((line, reason)),
            now_us=lambda: 0,
            defaults=Defaults(source="s", metric="m"),
            form=form,
            strict=strict,
        )
        try:
            publisher.run(lines, self.summary)
        except UserError as error:
            self.error = str(error)

    @property
    def readings(self) -> int:
        """Readings that were sent."""
        return sum(message.readings for message in self.sent)


def test_good_lines_are_sent_and_bad_ones_told_with_their_number() -> None:
    run = Run([b"timestamp,value\r", f"{TIME},1".encode(), b"", b"# remark", b"soon,1", f"{TIME},2".encode()])

    assert run.readings == run.summary.readings == 2
    assert run.refused == [(5, "time 'soon' is neither a date (RFC 3339) nor a number")]
    assert run.summary.lines == 6
    assert sum(run.summary.refused.values()) == 1
    assert run.summary.form == "csv"


def test_strict_stops_at_the_first_bad_line_and_sends_what_came_before() -> None:
    run = Run([b"ts,value", f"{TIME},1".encode(), b"soon,1", f"{TIME},2".encode()], strict=True)

    assert run.error.startswith("line 3: time 'soon'")
    assert run.readings == 1


def test_a_pause_sends_what_waits() -> None:
    lines = iter([b"ts,value", f"{TIME},1".encode(), None])
    run = Run(lines)

    assert run.readings == 1


def test_a_first_line_of_no_form_ends_it() -> None:
    run = Run([b"", b"hello"])

    assert run.error.startswith("line 2: the first line is neither")
    assert run.sent == []


def test_the_form_can_be_given() -> None:
    run = Run([b"hello"], form="json")

    assert run.refused[0][1].startswith("not JSON")


def test_a_mark_of_byte_order_is_no_part_of_the_header() -> None:
    assert Run([b"\xef\xbb\xbfts,value", f"{TIME},1".encode()]).readings == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a" * (MAX_LINE_BYTES + 1), "longer than 1048576 bytes"),
        (TIME.encode() + b",\xff", "not UTF-8 at byte 21"),
    ],
)
def test_a_line_that_is_no_text_is_refused(line: bytes, reason: str) -> None:
    run = Run([b"ts,value", line, f"{TIME},1".encode()])

    assert run.refused == [(2, reason)]
    assert run.readings == 1


def test_reasons_are_counted_within_bounds() -> None:
    run = Run([b"ts,value", *(f"{TIME},x{n}".encode() for n in range(300))])

    assert sum(run.summary.refused.values()) == len(run.refused) == 300
    assert len(run.summary.refused) == 101


def test_nothing_in_is_nothing_out() -> None:
    run = Run([])

    assert (run.sent, run.error, run.summary.lines) == ([], "", 0)
