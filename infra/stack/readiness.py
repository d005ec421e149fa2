"""Does a service truly serve? A produced record, a query, a ping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
import redis
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.stack.errors import NotReady, StackError

TIMEOUT_S = 5.0
POLL_S = 0.05
PROBE_TOPIC = "streamgauge.ready"


def wait_until_ready(check: Callable[[], None], within_s: float, hopeful: Callable[[], bool]) -> bool:
    """Repeat ``check`` until it passes (True) or nothing is left to hope for (False).

    Raises :class:`StackError` when time is up.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            check()
        except NotReady as error:
            if not hopeful():
                return False
            if time.monotonic() > deadline:
                raise StackError(f"it does not serve after {within_s:.0f} s: {error}") from error
            time.sleep(POLL_S)
        else:
            return True


def _quiet(bootstrap: str) -> dict[str, Any]:
    # A broker that is still starting is no news: without a logger librdkafka writes to the terminal.
    return {
        "bootstrap.servers": bootstrap,
        "log_level": 0,
        "socket.timeout.ms": int(TIMEOUT_S * 1000),
        "reconnect.backoff.max.ms": 200,
        "error_cb": lambda _error: None,
    }


def kafka_answers(bootstrap: str) -> None:
    """Ask for the cluster's metadata; raise :class:`NotReady`."""
    try:
        AdminClient(_quiet(bootstrap)).list_topics(timeout=TIMEOUT_S)
    except KafkaException as error:
        raise NotReady(f"Kafka at {bootstrap}: {error.args[0].str()}") from error


def kafka_accepts(bootstrap: str) -> None:
    """Produce a record to a topic of our own; raise :class:`NotReady`."""
    kafka_answers(bootstrap)
    admin = AdminClient(_quiet(bootstrap))
    topic = NewTopic(PROBE_TOPIC, 1, 1, config={"retention.ms": "3600000", "retention.bytes": "1048576"})
    try:
        admin.create_topics([topic], operation_timeout=TIMEOUT_S)[PROBE_TOPIC].result(TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise NotReady(f"Kafka at {bootstrap}: {error.args[0].str()}") from error
    outcome: list[KafkaError | None] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        outcome.append(error)

    producer = Producer(_quiet(bootstrap) | {"message.timeout.ms": int(TIMEOUT_S * 1000)})
    producer.produce(PROBE_TOPIC, b"", on_delivery=delivered)
    producer.flush(TIMEOUT_S)
    if outcome != [None]:
        reason = outcome[0].str() if outcome and outcome[0] else "no acknowledgement"
        raise NotReady(f"Kafka at {bootstrap} took no record: {reason}")


def database_answers(dsn: str) -> None:
    """Run a query; raise :class:`NotReady`."""
    try:
        with psycopg.connect(dsn, connect_timeout=int(TIMEOUT_S)) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        raise NotReady(f"the database does not answer: {error}") from error


def redis_answers(url: str) -> None:
    """Ping; raise :class:`NotReady`."""
    client = redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
    try:
        client.ping()
    except redis.RedisError as error:
        raise NotReady(f"Redis does not answer: {error}") from error
    finally:
        client.close()
