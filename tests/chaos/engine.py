"""Runs one seed: readings flow, faults strike, everything heals and drains, and the checker looks."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from jobs.verify.log import Log
from jobs.verify.report import Report
from jobs.verify.verify import verify
from streams.worker import patience_of, pipeline_of
from tests.chaos.faults.fault import Fault, NotStruck
from tests.chaos.run import Run
from tests.chaos.stack import PrivateStack
from tests.chaos.workers import Worker
from tests.waiting import NotInTime, eventually

WORKERS = 2
FLOWS_AT_LEAST_S = 1.0
SLOW_S = 15.0
FLOWS_AFTERWARDS_S = 0.7

LETTERS = """SELECT concat_ws('/', topic, partition, "offset", index) FROM dead_letters"""
TOLD_OF_EPISODES = "SELECT concat_ws('/', episode, n) FROM anomalies, generate_series(0, revision) AS n"
ANEW = """
    SELECT (SELECT count(*) FROM detection
            WHERE began_at > '-infinity' OR NOT EXISTS (SELECT FROM detector_states))
         + (SELECT count(*) FROM anomalies WHERE state = 'forgotten')
"""
"""Partitions whose detectors began anew or were never saved, and forgotten episodes: without a reason."""


@dataclass(slots=True)
class Outcome:
    """What came of one seed.

    ``found`` are the checker's faults by name; ``not_struck`` says of faults why they did not happen.
    ``recovered_s`` is how long it took at worst until all that was in the log when a fault struck, or
    ended, was stored.
    """

    seed: int
    faults: list[str]
    mutant: str = ""
    long: bool = False
    found: dict[str, int] = field(default_factory=dict)
    not_struck: dict[str, str] = field(default_factory=dict)
    readings: int = 0
    records: int = 0
    recovered_s: float | None = None
    seconds: float = 0.0
    remarks: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.found

    @property
    def slow(self) -> bool:
        """Whether it took so long to recover that somebody should look why."""
        return (self.recovered_s or 0.0) > SLOW_S

    @property
    def command(self) -> str:
        """The command that repeats it."""
        what = f"--mutant {self.mutant}" if self.mutant else f"--fault {'+'.join(self.faults)}"
        return f"streamgauge chaos --seed {self.seed} {what}{' --long' if self.long else ''}"

    def document(self) -> dict[str, Any]:
        """Return it as a line of JSON."""
        return asdict(self)


def run_seed(
    stack: PrivateStack,
    seed: int,
    faults: Sequence[Fault],
    directory: Path,
    mutant: str = "",
    *,
    long: bool = False,
) -> Outcome:
    """Run one seed with these faults.

    Its logs and ledgers stay in ``directory`` if something is found, or it took long to recover.
    """
    outcome = Outcome(seed, [fault.name for fault in faults], mutant, long)
    began = time.monotonic()
    shutil.rmtree(directory, ignore_errors=True)
    with Run(stack, seed, directory, mutant, long=long) as run:
        _flow(run, faults, outcome)
        _check(run, outcome)
    outcome.seconds = time.monotonic() - began
    if outcome.ok and not outcome.slow:
        shutil.rmtree(directory)
    stack.up()
    return outcome


def _flow(run: Run, faults: Sequence[Fault], outcome: Outcome) -> None:
    _hire(run, faults)
    run.start_load()
    strikes = [
        threading.Thread(target=_strike, args=(run, fault, outcome), name=fault.name, daemon=True)
        for fault in faults
    ]
    for strike in strikes:
        strike.start()
    try:
        eventually(lambda: sum(run.watch.stored.values()) > 0, "the first readings to be stored")
    except NotInTime as late:
        outcome.remarks.append(str(late))
    time.sleep(FLOWS_AT_LEAST_S)
    for strike in strikes:
        strike.join()
    time.sleep(FLOWS_AFTERWARDS_S)
    run.load.end()


def _hire(run: Run, faults: Sequence[Fault]) -> None:
    settings = {name: value for fault in faults for name, value in fault.settings.items()}
    run.hire(settings, by_relay=any(fault.by_relay for fault in faults))
    failpoint, everywhere = "", False
    for fault in faults:
        if fault.failpoint:
            failpoint, everywhere = fault.failpoint(_random(run, fault)), fault.everywhere
    for number in range(WORKERS):
        run.crew.add(failpoint if number == 0 or everywhere else "")


def _strike(run: Run, fault: Fault, outcome: Outcome) -> None:
    random = _random(run, fault)
    try:
        if not fault.failpoint:
            eventually(lambda: all(map(_holds, run.crew.workers)), "all workers to hold partitions")
            time.sleep(random.uniform(0.0, 1.0))
        fault.strike(run, random)
    except NotStruck as why:
        outcome.not_struck[fault.name] = str(why)
    except Exception as problem:
        outcome.found["broken"] = 1
        outcome.remarks.append(f"{fault.name}: {problem!r}")
    run.watch.mark()


def _holds(worker: Worker) -> bool:
    return worker.said("Holding")


def _random(run: Run, fault: Fault) -> Random:
    return Random(f"{run.seed}/{fault.name}")


def _check(run: Run, outcome: Outcome) -> None:
    try:
        run.drain()
        run.roll_up()
    except NotInTime as late:
        outcome.found["stuck"] = 1
        outcome.remarks.append(str(late))
    report = _report(run)
    outcome.found |= run.found | {name: count for name, count in report.faults.items() if count}
    others = {"behind": _behind(run, report), "untold": _untold(run), "anew": run.ask(ANEW)[0][0]}
    outcome.found |= {name: count for name, count in others.items() if count}
    outcome.readings = report.ledgered.readings if report.ledgered else 0
    outcome.records = report.records
    outcome.recovered_s = max(run.watch.recovered_s, default=None)
    outcome.remarks += run.remarks
    outcome.figures |= run.figures
    for kind, examples in report.examples.items():
        outcome.remarks += [f"{kind.value}: {example}" for example in examples[:2]]


def _untold(run: Run) -> int:
    """Return how many dead letters and episodes were not told on their topics, or told and are none."""
    stored = {run.letters_topic: LETTERS, run.anomalies_topic: TOLD_OF_EPISODES}
    return sum(
        len({event_id for (event_id,) in run.ask(wanted)} ^ run.told(topic))
        for topic, wanted in stored.items()
    )


def _report(run: Run) -> Report:
    log = Log(run.settings.kafka, run.topic)
    settings = run.settings
    return verify(run.dsn, log, run.topic, pipeline_of(settings), patience_of(settings), run.ledgers)


def _behind(run: Run, report: Report) -> int:
    """Return how many partitions are not stored up to the end of their log."""
    stored = {each.stored.partition: each.stored.next_offset for each in report.partitions}
    return sum(stored.get(number, 0) != end for number, end in run.log_ends().items())
