"""What a worker tells Prometheus of the rollups."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from sinks.timescale.refresh import Refreshed, RollupState
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
