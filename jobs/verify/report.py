"""What a verification found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobs.verify.compare import FAULTS, Example, Kind
from jobs.verify.ledger import LEDGER_FAULTS, Ledgered
from jobs.verify.log import Bounds
from jobs.verify.oracle import Fate
from jobs.verify.snapshot import Order, Stored, Waiting


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """What the log of one partition gives up to the stored offset, beside what progress says.

    ``log`` is None where Kafka has no such partition. ``records`` and ``readings`` are what was read.
    """

    stored: Stored
    log: Bounds | None
    records: int = 0
    readings: int = 0
    counts: dict[Fate, int] = field(default_factory=dict)
    order: Order | None = None

    @property
    def within_log(self) -> bool:
        """Whether the stored offset is one of the log's."""
        return self.log is not None and self.log.start <= self.stored.next_offset <= self.log.end

    @property
    def is_cut(self) -> bool:
        """Whether the log has lost its beginning, or another was stored before it."""
        return self.log is not None and (self.log.start > 0 or self.stored.left_out is not None)

    @property
    def counts_agree(self) -> bool:
        """Whether progress counts what the log gives; no less, where the log has lost its beginning.

        Where somebody decided what is read again or left out, counts tell nothing.
        """
        if self.stored.left_out is not None:
            return True
        if self.is_cut:
            return sum(self.stored.counts.values()) >= sum(self.counts.values())
        return all(self.counts.get(fate, 0) == self.stored.counts[fate] for fate in Fate)

    @property
    def order_agrees(self) -> bool:
        """Whether the watermark, and what was released and late, are the log's.

        Of a log that has lost its beginning nothing is said: nobody knows any more how far it had come.
        """
        return self.is_cut or self.order is None or self.order == self.stored.order

    def document(self) -> dict[str, Any]:
        """Return it as it is printed in JSON."""
        return {
            "log_start": self.log.start if self.log else None,
            "log_end": self.log.end if self.log else None,
            "next_offset": self.stored.next_offset,
            "within_log": self.within_log,
            "records": self.records,
            "readings": self.readings,
            "counts_agree": self.counts_agree,
            "by_the_log": {fate.value: self.counts.get(fate, 0) for fate in Fate},
            "order_agrees": self.order_agrees,
            "order_by_the_log": _order(self.order),
            "order_by_progress": _order(self.stored.order),
            "by_progress": {fate.value: self.stored.counts[fate] for fate in Fate},
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What was found of a topic. ``kinds`` are numbers of readings, ``examples`` some of each fault."""

    partitions: list[PartitionReport]
    kinds: dict[Kind, int]
    examples: dict[Kind, list[Example]]
    waiting: Waiting
    ledgered: Ledgered | None = None

    @property
    def miscounted(self) -> int:
        """How many partitions have other counts in progress than the log gives."""
        return sum(not partition.counts_agree for partition in self.partitions)

    @property
    def misordered(self) -> int:
        """How many partitions have another watermark, or released or late readings, than the log gives."""
        return sum(not partition.order_agrees for partition in self.partitions)

    @property
    def out_of_bounds(self) -> int:
        """How many partitions are stored up to an offset that their log does not have."""
        return sum(not partition.within_log for partition in self.partitions)

    @property
    def faults(self) -> dict[str, int]:
        """How often each fault was found, those that were not found too."""
        return {
            **{kind.value: self.kinds[kind] for kind in (*FAULTS, *LEDGER_FAULTS) if kind in self.kinds},
            "miscounted": self.miscounted,
            "misordered": self.misordered,
            "out_of_bounds": self.out_of_bounds,
        }

    @property
    def ok(self) -> bool:
        """Whether everything is as the log says."""
        return not any(self.faults.values())

    @property
    def records(self) -> int:
        """How many records were read."""
        return sum(partition.records for partition in self.partitions)

    @property
    def readings(self) -> int:
        """How many readings were in them, without what was refused as it arrived."""
        return sum(partition.readings for partition in self.partitions)

    def document(self) -> dict[str, Any]:
        """Return it as it is printed in JSON."""
        return {
            "ok": self.ok,
            **self.faults,
            "beyond_log": self.kinds[Kind.BEYOND_LOG],
            "in_flight": self.kinds[Kind.IN_FLIGHT],
            "outbox": self.waiting.messages,
            "outbox_late": self.waiting.late,
            "readings": self.readings,
            "records": self.records,
            **({"ledgered": self.ledgered.readings} if self.ledgered else {}),
            "partitions": {
                str(partition.stored.partition): partition.document() for partition in self.partitions
            },
            "examples": {kind.value: [one._asdict() for one in some] for kind, some in self.examples.items()},
        }


def _order(order: Order | None) -> dict[str, Any] | None:
    """Return it for JSON, which has no infinity."""
    if order is None:
        return None
    late_by = {f"{up_to_s:g}": count for up_to_s, count in sorted(order.late_by.items())}
    return {**order._asdict(), "late_by": late_by}
