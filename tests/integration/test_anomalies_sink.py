"""What owners with other detectors, or with none, leave of those before them."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from sinks.timescale import detectors
from sinks.timescale.sink import Bounds
from streams.core.detect.choice import Choice
from streams.core.watch import parameters_of
from tests.builders import P0
from tests.contract.places import TimescalePlace
from tests.contract.test_anomalies import load, write
from tests.databases import as_writer

pytestmark = pytest.mark.stack

OTHERS = Choice(("none.*",))


@pytest.fixture
def place(database: str) -> Iterator[TimescalePlace]:
    opened = TimescalePlace(database, as_writer(database), Bounds())
    yield opened
    opened.close()


def test_who_forgets_an_episode_says_what_found_it(place: TimescalePlace) -> None:
    log = load()
    write(place.sink("one", choice=Choice()), log, 600)
    write(place.sink("other", choice=OTHERS), log, len(log), begin=600)
    for told in ([each for each, _ in place.anomalies()], place.told()):
        forgotten = [each["parameters"] for each in told if each["state"] == "forgotten"]
        assert forgotten == [parameters_of(Choice())] * 2


def test_who_was_fenced_does_not_have_detectors_forgotten(place: TimescalePlace, database: str) -> None:
    fenced = place.sink("off").claim(P0, "off", 0).epoch
    epoch = write(place.sink("on", choice=Choice()), load(), 500)
    with psycopg.connect(as_writer(database), autocommit=True) as session:
        known = "SELECT count(*) FROM detection"
        detectors.forget_detection(session, P0, fenced)
        assert session.execute(known).fetchone() == (1,)
        detectors.forget_detection(session, P0, epoch)
        assert session.execute(known).fetchone() == (0,)
