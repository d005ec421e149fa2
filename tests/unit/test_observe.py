"""What a worker tells Prometheus of the rollups, and of anomalies."""

from __future__ import annotations

import numpy as np
from prometheus_client import CollectorRegistry

from sinks.protocols import Part, Partition, Written
from sinks.timescale.refresh import Refreshed, RollupState
from streams.core.anomaly import worst
from streams.core.batch import Points
from streams.core.detect.likelihood import Findings
from streams.core.watch import Sightings
from streams.observe import Observer


def test_what_waits_and_what_was_computed_again_is_counted_by_level() -> None:
    registry = CollectorRegistry()
    observer = Observer(registry)
    observer.rollups(RollupState(waiting=7, oldest_s=2.5))
    for done in ([Refreshed("1m", 5, 4), Refreshed("1h", 1, 0)], [Refreshed("1m", 2, 2, 2)], []):
        observer.refreshed(done)

    assert registry.get_sample_value("streamgauge_rollups_waiting") == 7
    assert registry.get_sample_value("streamgauge_rollups_oldest_seconds") == 2.5
    for name, level, count in (
        ("refreshed", "1m", 7),
        ("revised", "1m", 6),
        ("refreshed", "1h", 1),
        ("revised", "1h", 0),
    ):
        assert registry.get_sample_value(f"streamgauge_rollups_{name}_total", {"level": level}) == count
    assert registry.get_sample_value("streamgauge_rollups_given_up_total") == 2
    observer.refresh_failed()
    assert registry.get_sample_value("streamgauge_rollups_failed_total") == 1


def part(number: int, sightings: Sightings) -> Part:
    return Part(Partition("readings", number), 1, 0, 1, sightings=sightings)


def test_what_detectors_tell_is_counted_and_what_they_look_at_is_shown() -> None:
    registry = CollectorRegistry()
    observer = Observer(registry)
    points = Points(np.full(100, 7, np.int32), np.arange(100), np.arange(100.0), np.zeros(100, np.int16))
    began = worst(points, Findings.nothing(100)._replace(surprise=np.full(100, 2.5)), 99, None)
    told = [began, began.ended(99)]
    observer.stored(
        [part(0, Sightings(told, watched=5)), part(1, Sightings(watched=7, without_room=2))], Written()
    )
    observer.holds({("readings", 0), ("readings", 1)}, [])

    for state in ("open", "over"):
        labels = {"state": state, "severity": "high"}
        assert registry.get_sample_value("streamgauge_anomalies_told_total", labels) == 1
    assert observer.status()["anomalies"] == 1
    assert registry.get_sample_value("streamgauge_detect_series") == 12
    assert registry.get_sample_value("streamgauge_detect_series_left_out") == 2
    observer.holds({("readings", 0)}, [])
    assert registry.get_sample_value("streamgauge_detect_series") == 5
