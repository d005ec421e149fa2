"""What the ingest agent asks of a place that readings go to.

A sink has one commit point: :meth:`ReadingsSink.write` makes readings, dead letters and progress
visible together or not at all. All methods block; the agent calls them from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from streams.core.batch import Columns, Envelopes
from streams.core.rejection import Rejection
from streams.core.series import SeriesTable
from streams.core.watch import Sightings


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One partition of one topic."""

    topic: str
    number: int


class Suspicion(NamedTuple):
    """What speaks against the records that come next.

    ``strikes`` owners in a row ended without giving the partition up and before they had stored
    anything. The record at ``attempting`` was worked on alone ``attempts`` times and is not stored;
    of the ``LOOK_BACK`` offsets before it, ``quarantined`` hold records that were refused as poison.
    """

    strikes: int = 0
    attempting: int | None = None
    attempts: int = 0
    quarantined: int = 0


LOOK_BACK = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one partition is stored: the next offset to read, under the owner's epoch.

    ``topic_id`` is Kafka's id of the topic that this is an offset of, None where it is not known.
    ``halted`` says why nobody may read the partition; empty where that is not so. ``suspicion`` is
    told by a claim alone.
    """

    epoch: int
    next_offset: int
    owner: str
    topic_id: str | None = None
    halted: str = ""
    suspicion: Suspicion = field(default=Suspicion(), compare=False)


class HaltKind(StrEnum):
    """Why going on with a partition would mean to guess."""

    DELETED = "deleted"
    TRUNCATED = "truncated"
    RECREATED = "recreated"
    POISON = "poison"


@dataclass(slots=True)
class Part:
    """What one flush holds of one partition: everything of the offsets ``[base, next)``.

    ``envelopes`` tell the keys of its records. The rest is told by the sink: ``refused`` are the readings
    that it did not take, ``sightings`` are what detectors found, where there are any.
    """

    partition: Partition
    epoch: int
    base: int
    next: int
    columns: list[Columns] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    envelopes: list[Envelopes] = field(default_factory=list)
    refused: list[Rejection] = field(default_factory=list)
    sightings: Sightings | None = None

    @property
    def readings(self) -> int:
        """How many readings it holds."""
        return sum(map(len, self.columns))


@dataclass(frozen=True, slots=True)
class Flush:
    """What one transaction shall make visible. ``series`` and ``producers`` name the columns' indices."""

    parts: list[Part]
    series: SeriesTable
    producers: Sequence[str] = ("",)


class Written(NamedTuple):
    """What became of the readings of one flush; each is counted once.

    ``late`` are those of ``readings`` that the watermark had passed. ``released`` are those, of this
    flush or of earlier ones, that were released in order of their time.
    """

    readings: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    corrections: int = 0
    forwarded: int = 0
    late: int = 0
    released: int = 0


class SinkError(Exception):
    """A sink could not do what was asked.

    ``sent`` is what becomes of each part's readings if they turn out to be written after all; empty
    where their commit was not asked for.
    """

    sent: Mapping[Partition, Written] = {}


class SinkUnavailable(SinkError):  # noqa: N818 - reads as what happened
    """The sink cannot be reached now; nothing is known to be written; try again."""


class Fenced(SinkError):  # noqa: N818 - reads as what happened
    """Another owner has taken a partition over, or its stored offset is not the one expected."""


class ReadingsSink(Protocol):
    """A place that readings go to, with the offset they were read from."""

    def claim(
        self, partition: Partition, owner: str, start: int, end: int = 0, topic_id: str | None = None
    ) -> Progress:
        """Take ``partition`` over: raise its epoch by one and fence every earlier owner.

        The log holds the offsets ``[start, end)`` of the topic with that id; ``start`` is the next
        offset of a partition that was never claimed before, and ``topic_id`` is remembered where
        none was known. A former owner, other than this one, counts as a strike when it did not
        :meth:`release` the partition and stored nothing of what the log holds, or after such a one.
        What it left open is ended. Raises :class:`SinkUnavailable`.
        """

    def progress(self, partitions: list[Partition]) -> dict[Partition, Progress]:
        """Return the stored progress of those ``partitions`` that have one."""

    def write(self, flush: Flush) -> Written:
        """Make the flush visible, each reading once: each part as a whole, or none of it.

        They become visible together, but for a large flush, of which two transactions may each store
        some parts side by side: read :meth:`progress` after an error.

        A repeat of a stored reading is counted; one of the same series and time with another value
        replaces it under a higher ``revision`` and is a dead letter otherwise. A reading of a series
        that another partition owns is handed to that partition.

        Every part's stored ``(epoch, next_offset)`` must equal its ``(epoch, base)``, and becomes
        ``(epoch, next)``. Raises :class:`Fenced` when one does not, :class:`SinkUnavailable` when
        the outcome is not known.
        """

    def halt(self, partition: Partition, epoch: int, kind: HaltKind, reason: str) -> None:
        """Note that nobody may read ``partition`` until somebody decides, and raise its epoch.

        Raises :class:`Fenced` when its epoch is not ``epoch``, :class:`SinkUnavailable`.
        """

    def attempt(self, partition: Partition, epoch: int, offset: int) -> None:
        """Note, before it is done, that the record at ``offset`` is worked on alone.

        Raises :class:`Fenced` when the partition's epoch is not ``epoch``, :class:`SinkUnavailable`.
        """

    def absolve(self, partition: Partition, epoch: int) -> None:
        """Forget strikes and attempts, if the partition's epoch is ``epoch``: nothing speaks against
        its records. Raises :class:`SinkUnavailable`.
        """

    def release(self, partition: Partition) -> None:
        """Forget what is remembered of a partition that was given up, or never claimed.

        Where it is still this sink's, note that it was given up in good order, as far as that can be
        done now; an attempt that was under way is not counted then.
        """

    def close(self) -> None:
        """Release what the sink holds. It may not be used afterwards."""


class StatusBoard(Protocol):
    """A place where workers show what they do. What it holds may be lost: it decides nothing."""

    def publish(self, owner: str, status: dict[str, Any], ttl_s: float) -> None:
        """Show ``status`` as the owner's, in place of its last, for ``ttl_s`` seconds.

        Never raises for a board that is away, and returns within about 100 ms.
        """

    def read(self) -> list[dict[str, Any]]:
        """Return the statuses that have not expired, by owner; none while the board is away."""
