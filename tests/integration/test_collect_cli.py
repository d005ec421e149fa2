"""``streamgauge collect``: this machine's telemetry, numbered and accounted for."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.integration.records import PROGRAM, environment, read_topic, run
from tests.relay import Relay
from tests.waiting import eventually

pytestmark = pytest.mark.stack


def test_every_reading_of_a_run_arrives_numbered(stack: Settings, new_topic: Callable[..., str]) -> None:
    topic = new_topic(2)

    done = run("collect", "--batches", "3", "--interval", "0.2", "--site", "north", "--json", topic=topic)

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    found = read_topic(stack, topic)
    assert (told["batches"], told["undelivered"], told["dropped"]) == (3, 0, 0)
    assert len(found) == told["readings"] == told["delivered"]
    assert [each.sequence for each in found] == list(range(len(found)))
    host = socket.gethostname()
    assert {each.producer for each in found} == {f"host-{host}"}
    series = {(each.series.source, each.series.metric): dict(each.series.attributes) for each in found}
    assert series[host, "system.cpu.utilization"] == {"unit": "1", "system": host, "site": "north"}
    assert (f"{host}/cpu=0", "system.cpu.utilization") in series
    assert len({(each.series, each.time_us) for each in found}) == len(found)


def test_a_restart_has_a_higher_epoch(stack: Settings, new_topic: Callable[..., str]) -> None:
    topic = new_topic(1)
    for _ in range(2):
        run("collect", "--batches", "1", "--interval", "0.1", "--host", "test-restart", topic=topic)

    epochs = [each.epoch for each in read_topic(stack, topic)]

    assert len(set(epochs)) == 2
    assert epochs == sorted(epochs)


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "closed input"])
def test_it_ends_in_good_order(stack: Settings, new_topic: Callable[..., str], end: str) -> None:
    topic = new_topic(1)
    program = subprocess.Popen(
        [*PROGRAM, "collect", "--interval", "0.1", "--json"],
        env=environment(topic),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: len(read_topic(stack, topic)) > 0, "the first readings")

    if end != "closed input":
        program.send_signal(signal.Signals[end])
    output, _ = program.communicate(timeout=60)

    assert program.returncode == 0
    told = json.loads(output)
    assert told["readings"] == told["delivered"] == len(read_topic(stack, topic))


def test_readings_wait_for_a_broker_that_is_away(
    stack: Settings, new_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic, log = new_topic(1), tmp_path / "collect.log"
    host, port = stack.kafka.rsplit(":", 1)
    with Relay(host, int(port)) as relay, log.open("w") as errors:
        relay.cut()
        program = subprocess.Popen(
            [*PROGRAM, "collect", "--interval", "0.1", "--json"],
            env=environment(topic, kafka=f"127.0.0.1:{relay.port}", log_format="human"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        eventually(lambda: "Kafka is away" in log.read_text(), "the collector to miss Kafka")
        relay.mend()
        eventually(lambda: "Kafka is back" in log.read_text(), "the collector to find Kafka")
        program.terminate()
        output, _ = program.communicate(timeout=60)

    assert program.returncode == 0
    told = json.loads(output)
    assert (told["undelivered"], told["dropped"]) == (0, 0)
    assert [each.sequence for each in read_topic(stack, topic)] == list(range(told["readings"]))


def test_what_kafka_does_not_take_is_counted_and_said() -> None:
    done = run(
        *("collect", "--batches", "5", "--interval", "0.1", "--json"),
        topic="any",
        kafka="127.0.0.1:1",
        log_format="human",
    )

    assert done.returncode == 3
    told = json.loads(done.stdout)
    assert told["delivered"] == 0
    assert told["readings"] == told["undelivered"] + told["dropped"] > 0
    assert "Kafka is away" in done.stderr
