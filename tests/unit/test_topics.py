"""What is done about a topic that is not as declared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.topics import Action, Found, Setting, plan
from schemas.topics import Topic, declared

TOPIC = Topic(
    "pumps",
    "readings",
    "pump",
    partitions=8,
    replication=3,
    config={"retention.ms": "1000", "cleanup.policy": "delete"},
)
AS_DECLARED = Found(
    8,
    3,
    {"retention.ms": Setting("1000", explicit=True), "cleanup.policy": Setting("delete", explicit=False)},
)


def _actions(found: Found) -> dict[str, Action]:
    return {change.what: change.action for change in plan([TOPIC], {"pumps": found})}


def _with(name: str, value: str, *, explicit: bool) -> Found:
    return replace(AS_DECLARED, config={**AS_DECLARED.config, name: Setting(value, explicit=explicit)})


def test_a_topic_as_declared_needs_nothing() -> None:
    assert plan([TOPIC], {"pumps": AS_DECLARED}) == []


def test_a_missing_topic_is_created() -> None:
    (change,) = plan([TOPIC], {})

    assert (change.action, change.wanted) == (Action.CREATE, "8 partitions, 3 copies")


@pytest.mark.parametrize(("partitions", "action"), [(4, Action.RAISE), (16, Action.KEEP)])
def test_partitions_are_raised_and_never_taken_away(partitions: int, action: Action) -> None:
    assert _actions(replace(AS_DECLARED, partitions=partitions)) == {"partitions": action}


@pytest.mark.parametrize("replication", [1, 5])
def test_copies_are_left_to_the_tools_of_the_cluster(replication: int) -> None:
    assert _actions(replace(AS_DECLARED, replication=replication)) == {"replication": Action.KEEP}


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize(
    ("value", "action"), [("500", Action.RAISE), ("2000", Action.KEEP), ("-1", Action.KEEP)]
)
def test_an_amount_is_raised_and_never_lowered(value: str, action: Action, explicit: bool) -> None:
    assert _actions(_with("retention.ms", value, explicit=explicit)) == {"retention.ms": action}


def test_a_choice_is_set_unless_somebody_made_another() -> None:
    assert _actions(_with("cleanup.policy", "compact", explicit=False)) == {"cleanup.policy": Action.SET}
    assert _actions(_with("cleanup.policy", "compact", explicit=True)) == {"cleanup.policy": Action.KEEP}


def test_every_declared_topic_says_what_it_carries_and_how_it_is_kept() -> None:
    topics = declared(
        readings_topic="telemetry.readings", readings_partitions=8, replication=1, max_message_bytes=1000
    )

    assert topics[0].name == "telemetry.readings"
    assert len({topic.name for topic in topics}) == len(topics) == 9
    for topic in topics:
        assert topic.carries
        assert topic.key
        assert {
            "cleanup.policy",
            "compression.type",
            "retention.ms",
            "max.message.bytes",
        } <= topic.config.keys()
        assert int(topic.config["max.message.bytes"]) > 1000


def test_readings_are_stamped_on_arrival_so_that_a_backfill_is_not_deleted_by_its_age() -> None:
    readings, *_ = declared(
        readings_topic="telemetry.readings", readings_partitions=8, replication=1, max_message_bytes=1000
    )

    assert readings.config["message.timestamp.type"] == "LogAppendTime"


def test_of_closed_buckets_the_last_revision_remains() -> None:
    (rollups,) = (
        topic
        for topic in declared(
            readings_topic="r",
            readings_partitions=1,
            replication=1,
            max_message_bytes=1000,
            rollups_topic="u",
        )
        if topic.name == "u"
    )

    assert rollups.config["cleanup.policy"] == "compact,delete"
