"""Decides where a partition goes on: what that would leave out or read again, and puts it on record."""

from __future__ import annotations

import getpass
import socket
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from psycopg.rows import class_row, dict_row

from streams.errors import ServiceUnavailable, UsageError, UserError
from streams.topic_ids import KafkaTopicIds

TIMEOUT_S = 10.0
LOCK_WAIT = "10s"
COMMITTED = IsolationLevel.READ_COMMITTED

_STATE = """
    SELECT next_offset, topic_id, owner, kind, reason
    FROM progress LEFT JOIN halts USING (topic, partition)
    WHERE topic = %s AND partition = %s
"""
_RESUME = "SELECT * FROM resume_partition(%s, %s, %s, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class State:
    """What is stored of a partition; ``kind`` and ``reason`` of its halt, None where it has none."""

    next_offset: int
    topic_id: str | None
    owner: str
    kind: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Log:
    """The offsets ``[start, end)`` that a partition's log holds, and the id of its topic."""

    start: int
    end: int
    topic_id: str | None


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a partition shall go on, beside where it stands."""

    state: State
    log: Log
    to_offset: int

    @property
    def recreated(self) -> bool:
        """Whether the stored offset is one of another topic than there is now."""
        was, now = self.state.topic_id, self.log.topic_id
        return was is not None and now is not None and was != now

    @property
    def left_out(self) -> int:
        """How many offsets of the log would never be read.

        >>> Decision(State(70, "a", "w", None, None), Log(50, 200, "a"), 100).left_out
        30
        """
        begin = self.log.start if self.recreated else max(self.state.next_offset, self.log.start)
        return max(0, self.to_offset - begin)

    @property
    def read_again(self) -> int:
        """How many offsets of the log would be read a second time.

        >>> Decision(State(70, "a", "w", None, None), Log(50, 200, "a"), 60).read_again
        10
        """
        return 0 if self.recreated else max(0, min(self.state.next_offset, self.log.end) - self.to_offset)

    def document(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {
            **asdict(self),
            "recreated": self.recreated,
            "left_out": self.left_out,
            "read_again": self.read_again,
        }


def parse_partition(text: str, topic: str) -> tuple[str, int]:
    """Return topic and number of ``[TOPIC/]PARTITION``. Raises UsageError.

    >>> parse_partition("3", "telemetry.readings"), parse_partition("other/0", "telemetry.readings")
    (('telemetry.readings', 3), ('other', 0))
    """
    name, slash, number = text.rpartition("/")
    if not (number.isascii() and number.isdigit()) or (slash and not name):
        raise UsageError(f"{text!r} is no partition", hint=f"Give a number, or {topic}/3.")
    return (name or topic), int(number)


def target(where: str, state: State, log: Log) -> int:
    """Return the offset that ``where`` stands for: earliest, latest, stored, or a number.

    Raises UsageError when the log does not hold it: the partition would be halted again.

    >>> target("latest", State(70, None, "w", None, None), Log(50, 200, None))
    200
    """
    named = {"earliest": log.start, "latest": log.end, "stored": state.next_offset}
    if where not in named and not (where.isascii() and where.isdigit()):
        raise UsageError(f"{where!r} is no offset", hint="Give earliest, latest, stored, or a number.")
    offset = named.get(where, -1) if where in named else int(where)
    if not log.start <= offset <= log.end:
        raise UsageError(
            f"the log does not hold offset {offset}: it begins at {log.start} and ends at {log.end}",
            hint="Give earliest, latest, or an offset between them.",
        )
    return offset


def find_log(bootstrap: str, topic: str, number: int) -> Log:
    """Ask Kafka what it holds of a partition. Raises UserError."""
    options: dict[str, Any] = {"bootstrap.servers": bootstrap, "log_level": 0}
    admin, partition = AdminClient(options), TopicPartition(topic, number)
    topic_id = KafkaTopicIds(bootstrap).ask(topic)
    try:
        known = admin.list_topics(timeout=TIMEOUT_S).topics
        if topic not in known or number not in known[topic].partitions:
            raise UserError(f"Kafka has no partition {topic}/{number}", hint="See: streamgauge topics list")
        start, end = (
            admin.list_offsets({partition: spec}, isolation_level=COMMITTED, request_timeout=TIMEOUT_S)[
                partition
            ]
            .result()
            .offset
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
        )
    except KafkaException as error:
        raise ServiceUnavailable(f"Kafka does not answer: {error.args[0].str()}") from error
    return Log(start, end, topic_id)


class Register:
    """The database's part: where a partition stands, and on record what was decided about it."""

    def __init__(self, dsn: str) -> None:
        self._session = psycopg.connect(dsn, autocommit=True, application_name="streamgauge resume")
        self._session.execute(f"SET search_path TO public; SET lock_timeout TO '{LOCK_WAIT}'")

    def state(self, topic: str, number: int) -> State:
        """Return what is stored of a partition. Raises UserError where it was never claimed."""
        with self._session.cursor(row_factory=class_row(State)) as cursor:
            found = cursor.execute(_STATE, (topic, number)).fetchone()
        if found is None:
            raise UserError(
                f"no worker has read {topic}/{number} yet", hint="It begins where its log begins, by itself."
            )
        return found

    def resume(self, topic: str, number: int, decision: Decision, why: str) -> dict[str, Any]:
        """Set where the partition goes on; return the record. Workers take it up by themselves."""
        arguments = (topic, number, decision.to_offset, decision.log.topic_id, operator(), why)
        with self._session.cursor(row_factory=dict_row) as cursor:
            (record,) = cursor.execute(_RESUME, arguments).fetchall()
        return record

    def close(self) -> None:
        """Close the session."""
        self._session.close()


def operator() -> str:
    """Return who runs this program, as it goes on record."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
