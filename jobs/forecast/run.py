"""One run of forecasts: those that are missing, each stored as a whole as soon as it is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from jobs.forecast.pool import predict_all
from jobs.forecast.store import Connection, Series, is_issued, read_hours, store
from streams.core.batch import Float64
from streams.core.forecast.predict import Unpredictable


@dataclass(slots=True)
class Report:
    """What came of the series of a run: how many were forecast, by which model, and why others were not."""

    series: int = 0
    issued_before: int = 0
    forecast: int = 0
    models: Counter[str] = field(default_factory=Counter)
    not_forecast: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """How many series need nothing more."""
        return self.issued_before + self.forecast + self.not_forecast.total()

    def document(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {**asdict(self), "models": dict(self.models), "not_forecast": dict(self.not_forecast)}


def run(
    session: Connection, series: Iterable[Series], horizon: int, processes: int
) -> Generator[Report, None, None]:
    """Forecast each series that was not at its time, and yield how far it is after each.

    It may be ended at any moment, and goes on from there the next time.
    """
    report = Report()

    def missing() -> Iterator[tuple[Series, Float64]]:
        for each in series:
            report.series += 1
            if is_issued(session, each):
                report.issued_before += 1
            else:
                yield each, read_hours(session, each)

    for each, found in predict_all(missing(), horizon, processes):
        if isinstance(found, Unpredictable):
            report.not_forecast[found.value] += 1
        else:
            store(session, each, found)
            report.forecast += 1
            report.models[found.model] += 1
        yield report
    yield report
