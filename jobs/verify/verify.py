"""Proves that each reading of the log is stored once: judges the log anew and compares with the database."""

from __future__ import annotations

from pathlib import Path

from jobs.verify.compare import FAULTS, Example, find_examples, find_faults
from jobs.verify.homes import Homes
from jobs.verify.ledger import LEDGER_FAULTS, find_ledger_faults, load_ledgers
from jobs.verify.log import Bounds, Log
from jobs.verify.replay import Replay
from jobs.verify.report import Report
from jobs.verify.snapshot import (
    Stored,
    Waiting,
    load_homes,
    load_progress,
    load_waiting,
    open_snapshot,
)
from sinks.timescale.detectors import Detecting
from streams.core.pipeline import Pipeline
from streams.core.watermark import Patience

EXAMPLES = 10
"""Readings that are shown of each fault."""


def verify(
    dsn: str,
    log: Log,
    topic: str,
    pipeline: Pipeline,
    patience: Patience | None = None,
    ledgers: Path | None = None,
    detecting: Detecting | None = None,
) -> Report:
    """Compare the readings of ``topic`` with its log, up to the offsets stored at one moment.

    Workers may go on meanwhile. Only the present settings are known, by ``pipeline``, ``patience``
    and ``detecting``: what was refused, or late, under others does not agree, and of what other detectors
    found nothing is said. Of readings from before
    ``raw_retention.kept_from`` none is missed. With the directory of all producers' ``ledgers`` it
    compares with these as well (:mod:`jobs.verify.ledger`).

    Memory: see :class:`~jobs.verify.oracle.Oracle` and :class:`~jobs.verify.replay.Replay`, and the
    names of all series. Raises ``psycopg.Error``, ``KafkaException`` and
    :class:`~streams.errors.UserError`, the latter when there is no such topic.
    """
    with open_snapshot(dsn) as session:
        progress, waiting = load_progress(session, topic), load_waiting(session, topic)
        # After the snapshot, so that the logs hold whatever was sent before it.
        bounds = log.bounds()
        homes = Homes(load_homes(session))
        rules = patience or Patience(), detecting or Detecting()
        replay = Replay(session, log, topic, pipeline, homes, *rules)
        partitions = [replay(stored, bounds.get(stored.partition)) for stored in progress]
        cut = [each.stored.partition for each in partitions if each.is_cut]
        behind = _behind(progress, bounds, waiting)
        skipped = [stored.partition for stored in progress if stored.left_out]
        kinds = find_faults(session, topic, cut, behind, skipped)
        ledgered = None
        if ledgers is not None:
            ledgered = load_ledgers(session, ledgers)
            kinds |= find_ledger_faults(session, topic, progress, behind)
        examples = {
            kind: [_named(example, homes) for example in find_examples(session, kind, EXAMPLES)]
            for kind in (*FAULTS, *LEDGER_FAULTS)
            if kind in kinds
        }
    return Report(partitions, kinds, examples, waiting, ledgered)


def _behind(progress: list[Stored], bounds: dict[int, Bounds], waiting: Waiting) -> list[int]:
    """Return the partitions that may have forwarded readings which are not looked at."""
    stored = {each.partition: each.next_offset for each in progress}
    return [number for number, log in bounds.items() if waiting.messages or stored.get(number, 0) < log.end]


def _named(example: Example, homes: Homes) -> Example:
    """Return an example with the name that its series has in the log, where the database has none."""
    name = homes.unknown.get(example.series_id)
    return example if name is None else Example(*name, *example[3:])
