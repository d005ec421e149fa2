"""``streamgauge generate``: what it says it sent lies in Kafka, each reading once."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from streams.settings import Settings
from tests.integration.records import read_topic, run

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("encoding", ["batch", "single", "json", "json-array"])
def test_each_reading_arrives_once(stack: Settings, new_topic: Callable[..., str], encoding: str) -> None:
    topic = new_topic(4)

    done = run(
        *(
            "generate",
            "--readings",
            "5000",
            "--batch",
            "50",
            "--series",
            "100",
            "--encoding",
            encoding,
            "--json",
        ),
        topic=topic,
    )

    assert done.returncode == 0, done.stderr
    sent = json.loads(done.stdout)
    assert sent["readings"] == 5000
    assert sent["messages"] == (100 if encoding in ("batch", "json-array") else 5000)
    found = read_topic(stack, topic)
    assert len({(each.series, each.time_us) for each in found}) == len(found) == 5000
    assert len({(each.producer, each.sequence) for each in found}) == 5000
    assert {each.epoch for each in found} == {sent["epoch"]}
    assert min(each.time_us for each in found) == sent["first_time_us"]


def test_a_broker_that_is_away_ends_with_3() -> None:
    done = run("generate", "--readings", "10", topic="any", kafka="127.0.0.1:1")

    assert done.returncode == 3
    assert done.stderr.startswith("error: Kafka does not answer")
    assert "Traceback" not in done.stderr
