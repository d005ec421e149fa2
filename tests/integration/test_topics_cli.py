"""``streamgauge topics``: Kafka's topics become what is declared, and never less."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient

from jobs.topics import TopicAdmin
from streams.settings import Settings
from tests.integration.records import run

pytestmark = pytest.mark.stack


@pytest.fixture
def name(stack: Settings) -> Iterator[str]:
    """Name of a topic that does not exist yet; it, its rollups' and anomalies' are deleted afterwards."""
    name = f"test.{uuid4().hex[:12]}"
    yield name
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    for deletion in admin.delete_topics([name, f"{name}.rollups", f"{name}.anomalies"]).values():
        deletion.result(30)


def test_a_missing_topic_is_shown_and_then_created_as_declared(stack: Settings, name: str) -> None:
    own = {"topic": name, "rollups_topic": f"{name}.rollups", "anomalies_topic": f"{name}.anomalies"}
    assert run("topics", "list", **own).returncode == 1

    dry = run("topics", "apply", "--dry-run", readings_partitions="3", **own)
    assert f"create {name} topic: 3 partitions" in dry.stdout
    assert TopicAdmin(stack.kafka).find([name]) == {}  # a dry run changes nothing

    assert run("topics", "apply", readings_partitions="3", **own).returncode == 0
    again = run("topics", "apply", readings_partitions="3", **own)
    listed = run("topics", "list", "--json", **own)

    assert again.stdout == "all topics are as declared\n"
    assert listed.returncode == 0
    (told,) = [topic for topic in json.loads(listed.stdout) if topic["name"] == name]
    assert (told["name"], told["exists"], told["partitions"]) == (name, True, 3)
    assert told["config"]["retention.ms"] == "604800000"


def test_what_is_below_its_declaration_is_raised_and_what_is_above_is_kept(
    stack: Settings, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(2, retention_ms="1000", max_message_bytes="9999999", cleanup_policy="compact")

    done = run("topics", "apply", "--json", topic=topic, readings_partitions="4")

    assert done.returncode == 0, done.stderr
    changes = [change for change in json.loads(done.stdout)["changes"] if change["topic"] == topic]
    actions = {change["what"]: change["action"] for change in changes}
    assert actions["partitions"] == actions["retention.ms"] == "raise"
    assert actions["max.message.bytes"] == actions["cleanup.policy"] == "keep"
    found = TopicAdmin(stack.kafka).find([topic])[topic]
    assert found.partitions == 4
    assert found.config["retention.ms"].value == "604800000"
    assert found.config["max.message.bytes"].value == "9999999"
    assert found.config["cleanup.policy"].value == "compact"

    fewer = run("topics", "apply", topic=topic, readings_partitions="1")
    assert "partitions are never taken away" in fewer.stdout
    assert TopicAdmin(stack.kafka).find([topic])[topic].partitions == 4
