"""Brings Kafka's topics to what is declared: creates and raises, and never lowers anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from schemas.topics import Topic, declared
from streams.settings import Settings

TIMEOUT_S = 10.0

RAISABLE = frozenset({"retention.ms", "retention.bytes", "max.message.bytes"})
"""Settings that are amounts, of which more is safe; -1 is without end."""


class Action(StrEnum):
    """What is done about a difference."""

    CREATE = "create"
    RAISE = "raise"
    SET = "set"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of a topic's setting, and whether somebody set it for this topic."""

    value: str
    explicit: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as it is in Kafka."""

    partitions: int
    replication: int
    config: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between what is declared and what is there, and what is done about it."""

    topic: str
    what: str
    action: Action
    current: str
    wanted: str
    why: str = ""


def plan(topics: Sequence[Topic], found: Mapping[str, Found]) -> list[Change]:
    """Return all differences in order; nothing is ever lowered, nor is a choice of somebody's undone.

    >>> pump = Topic("pumps", "readings", "pump", partitions=8, replication=1)
    >>> [(each.what, each.action.value) for each in plan([pump], {"pumps": Found(4, 1)})]
    [('partitions', 'raise')]
    """
    changes: list[Change] = []
    for topic in topics:
        there = found.get(topic.name)
        if there is None:
            told = f"{topic.partitions} partitions, {topic.replication} copies"
            changes.append(Change(topic.name, "topic", Action.CREATE, "", told))
        else:
            changes += _differences(topic, there)
    return changes


def _differences(topic: Topic, there: Found) -> list[Change]:
    changes = []
    if there.partitions != topic.partitions:
        action = Action.RAISE if there.partitions < topic.partitions else Action.KEEP
        why = "" if action is Action.RAISE else "partitions are never taken away"
        changes.append(
            Change(topic.name, "partitions", action, str(there.partitions), str(topic.partitions), why)
        )
    if there.replication != topic.replication:
        why = "reassign the replicas with the tools of your cluster"
        changes.append(
            Change(
                topic.name, "replication", Action.KEEP, str(there.replication), str(topic.replication), why
            )
        )
    for name, wanted in topic.config.items():
        setting = there.config.get(name, Setting("", explicit=False))
        if setting.value != wanted:
            action, why = _about_setting(name, setting, wanted)
            changes.append(Change(topic.name, name, action, setting.value, wanted, why))
    return changes


def _about_setting(name: str, setting: Setting, wanted: str) -> tuple[Action, str]:
    if name in RAISABLE:
        return (
            (Action.KEEP, "more than declared")
            if _amount(setting.value) > _amount(wanted)
            else (Action.RAISE, "")
        )
    return (Action.KEEP, "set for this topic by somebody") if setting.explicit else (Action.SET, "")


def _amount(text: str) -> float:
    return float("inf") if text == "-1" else float(text or 0)


def wanted_topics(settings: Settings) -> list[Topic]:
    """Return the declared topics with the sizes that the settings ask for."""
    return declared(
        readings_topic=settings.readings_topic,
        readings_partitions=settings.readings_partitions,
        replication=settings.replication_factor,
        max_message_bytes=settings.max_message_bytes,
        dead_letters_topic=settings.dead_letters_topic,
        rollups_topic=settings.rollups_topic,
        anomalies_topic=settings.anomalies_topic,
    )


class TopicAdmin:
    """Reads and changes topics. Raises KafkaException when Kafka is away or refuses."""

    def __init__(self, bootstrap: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def find(self, names: Sequence[str]) -> dict[str, Found]:
        """Return those of the named topics that exist."""
        known = self._admin.list_topics(timeout=TIMEOUT_S).topics
        there = [name for name in names if name in known]
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in there]
        answers = self._admin.describe_configs(resources, request_timeout=TIMEOUT_S) if resources else {}
        configs = {resource.name: answer.result(TIMEOUT_S) for resource, answer in answers.items()}
        return {
            name: Found(
                partitions=len(known[name].partitions),
                replication=min(len(each.replicas) for each in known[name].partitions.values()),
                config={
                    entry.name: Setting(entry.value or "", explicit=not entry.is_default)
                    for entry in configs[name].values()
                },
            )
            for name in there
        }

    def apply(self, changes: Sequence[Change], topics: Sequence[Topic]) -> None:
        """Make the changes of a plan for ``topics``; those to keep are left alone."""
        by_name = {topic.name: topic for topic in topics}
        for change in changes:
            if change.action is Action.CREATE:
                self._create(by_name[change.topic])
            elif change.action is not Action.KEEP and change.what == "partitions":
                wanted = NewPartitions(change.topic, int(change.wanted))
                self._admin.create_partitions([wanted])[change.topic].result(TIMEOUT_S)
        settings = [
            change
            for change in changes
            if change.action in (Action.RAISE, Action.SET) and change.what != "partitions"
        ]
        for name in dict.fromkeys(change.topic for change in settings):
            self._set(name, {change.what: change.wanted for change in settings if change.topic == name})

    def _create(self, topic: Topic) -> None:
        new = NewTopic(
            topic.name, topic.partitions, replication_factor=topic.replication, config=dict(topic.config)
        )
        try:
            self._admin.create_topics([new])[topic.name].result(TIMEOUT_S)
        except KafkaException as error:
            # Two who apply at once both get what they want.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise

    def _set(self, name: str, config: Mapping[str, str]) -> None:
        entries = [
            ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
            for setting, value in config.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        self._admin.incremental_alter_configs([resource])[resource].result(TIMEOUT_S)
