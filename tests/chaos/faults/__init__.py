"""The fault matrix: everything that is done to the pipeline, by name."""

from __future__ import annotations

from tests.chaos.faults import broker, database, logs, producers, surroundings, workers
from tests.chaos.faults.fault import Fault

MATRIX: dict[str, Fault] = {
    fault.name: fault
    for module in (workers, broker, logs, database, producers, surroundings)
    for fault in module.FAULTS
}
