"""What a benchmark hands out: one document of figures, and a plot of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from jobs.benchmark.machine import describe


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of one verb, with what they were measured on."""

    benchmark: str
    machine: Mapping[str, Any]
    options: Mapping[str, Any]
    results: list[dict[str, Any]]

    @staticmethod
    def begin(benchmark: str, options: Mapping[str, Any]) -> Report:
        """Describe the machine before anything runs on it."""
        machine = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **describe()}
        return Report(benchmark, machine, options, [])

    def document(self) -> dict[str, Any]:
        """Return the report as it stands in a file."""
        return {
            "benchmark": self.benchmark,
            "machine": self.machine,
            "options": self.options,
            "results": self.results,
        }

    def write(self, file: Path) -> None:
        """Write the document."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(
            orjson.dumps(self.document(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )


def read_results(file: Path) -> dict[str, dict[str, Any]]:
    """Return the results of an earlier report by name."""
    return {result["name"]: result for result in orjson.loads(file.read_bytes())["results"]}
