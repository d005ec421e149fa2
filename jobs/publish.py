"""Sends readings that stand in a text file or come through a pipe."""

from __future__ import annotations

import codecs
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from jobs.batcher import Batcher
from jobs.epoch import next_epoch
from jobs.formats.base import BadLine, Defaults, Parser, fault_of_producer_id
from jobs.formats.detect import detect, parser_for
from jobs.lines import MAX_LINE_BYTES, LineReader
from jobs.pace import Pace
from jobs.producer import Message, ReadingsProducer
from streams.errors import UsageError, UserError
from streams.settings import Settings, state_dir

FLUSH_S = 30.0


@dataclass(slots=True)
class Summary:
    """What became of a file. ``refused`` counts lines and ``skipped`` parts of good lines, by reason."""

    lines: int = 0
    readings: int = 0
    messages: int = 0
    form: str = ""
    seconds: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Reads lines and sends them in batches.

    ``send`` takes a message and may wait; ``on_refused`` is told line number and reason; ``form``
    is auto, csv, json or influx. With ``strict`` the first line that is refused ends it.
    """

    batcher: Batcher
    send: Callable[[Message], None]
    on_refused: Callable[[int, str], None]
    now_us: Callable[[], int]
    defaults: Defaults
    form: str = "auto"
    strict: bool = False

    def run(self, lines: Iterable[bytes | None], summary: Summary) -> None:
        """Send all ``lines`` (None sends what waits) and keep ``summary`` up to date.

        Raises :class:`~streams.errors.UserError` when the first line does not tell the format, or
        when a line is refused and ``strict``. What was read before is sent in every case.
        """
        try:
            parser: Parser | None = None
            for line in lines:
                if line is None:
                    self._send_all(self.batcher.flush(), summary)
                    continue
                summary.lines += 1
                content = line.removeprefix(codecs.BOM_UTF8).strip()
                if not content or content.startswith(b"#"):
                    continue
                if parser is None:
                    parser, is_header = self._begin(content, summary)
                    if is_header:
                        continue
                self._take(parser, content, summary)
        finally:
            self._send_all(self.batcher.flush(), summary)

    def _begin(self, line: bytes, summary: Summary) -> tuple[Parser, bool]:
        try:
            text = _decode(line)
            summary.form = detect(text) if self.form == "auto" else self.form
            parser, is_header = parser_for(text, summary.form, self.defaults, self.now_us)
        except BadLine as error:
            raise UserError(
                f"line {summary.lines}: {error}", hint="See `streamgauge publish --help` for the forms."
            ) from None
        summary.skipped = parser.skipped
        return parser, is_header

    def _take(self, parser: Parser, line: bytes, summary: Summary) -> None:
        try:
            readings = parser(_decode(line))
        except BadLine as error:
            reason = str(error)
            summary.refused[reason if len(summary.refused) < 100 else "other reasons"] += 1
            self.on_refused(summary.lines, reason)
            if self.strict:
                raise UserError(
                    f"line {summary.lines}: {reason}", hint="Without --strict it would go on."
                ) from None
            return
        for reading in readings:
            self._send_all(self.batcher.add(reading), summary)

    def _send_all(self, messages: Iterable[Message], summary: Summary) -> None:
        for message in messages:
            self.send(message)
            summary.messages += 1
            summary.readings += message.readings


def _decode(line: bytes) -> str:
    if len(line) > MAX_LINE_BYTES:
        raise BadLine(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise BadLine(f"not UTF-8 at byte {error.start}") from None


class Watch(Protocol):
    """Is told how publishing goes."""

    def advanced(self, bytes_read: int, readings: int) -> None:
        """So many bytes of the file are read and so many readings sent."""

    def refused(self, line: int, reason: str) -> None:
        """A line was refused."""


def publish_file(
    fd: int,
    settings: Settings,
    *,
    defaults: Defaults,
    producer_id: str,
    form: str,
    batch: int,
    rate: float,
    strict: bool,
    watch: Watch,
) -> Summary:
    """Send all readings of a file descriptor and return what became of them once they are delivered.

    Raises :class:`~streams.errors.UserError`, as :meth:`Publisher.run` does, and
    :class:`~streams.errors.ServiceUnavailable` when not everything was delivered.
    """
    if fault := fault_of_producer_id(producer_id):
        raise UsageError(fault, hint="Give another --producer.")
    epoch = next_epoch(state_dir() / "epochs", producer_id, time.time_ns() // 1_000_000)
    producer = ReadingsProducer(settings.kafka, settings.readings_topic)
    producer.require_topic()
    pace = Pace(rate, clock=time.perf_counter, wait=producer.poll)
    reader, summary, began = LineReader(fd), Summary(), time.perf_counter()

    def send(message: Message) -> None:
        pace.take(message.readings)
        producer.send(message)
        watch.advanced(reader.bytes_read, producer.deliveries.accepted)

    publisher = Publisher(
        batcher=Batcher(producer_id, epoch, batch),
        send=send,
        on_refused=watch.refused,
        now_us=lambda: time.time_ns() // 1000,
        defaults=defaults,
        form=form,
        strict=strict,
    )
    try:
        publisher.run(reader, summary)
    finally:
        producer.flush(FLUSH_S)
    producer.finish(0.0)
    summary.seconds = round(time.perf_counter() - began, 3)
    return summary
