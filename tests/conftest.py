"""What every test may ask for: the real stack, a database of its own, topics of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import hypothesis
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.stack.errors import NotReady
from infra.stack.readiness import database_answers, kafka_answers, redis_answers
from sinks.timescale.migrate import migrate
from streams.settings import Settings
from tests.databases import empty_database

PATIENCE_S = 30.0

# The same examples in every run, however slow the machine; `pytest --hypothesis-profile=explore`
# looks for others.
hypothesis.settings.register_profile(
    "steady", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile("steady")


@pytest.fixture(scope="session")
def stack() -> Settings:
    """Settings that lead to a Kafka, a TimescaleDB and a Redis that answer; no test does without."""
    settings = Settings()
    try:
        kafka_answers(settings.kafka)
        database_answers(settings.owner_dsn)
        redis_answers(settings.redis_url.get_secret_value())
    except NotReady as error:
        pytest.fail(f"this test needs the stack (streamgauge stack up): {error}", pytrace=False)
    return settings


@pytest.fixture(autouse=True)
def _stack_where_marked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("stack"):
        request.getfixturevalue("stack")


@pytest.fixture(scope="module")
def database(stack: Settings) -> Iterator[str]:
    """Connection string, as the owner, of a migrated database that is dropped afterwards."""
    with empty_database() as dsn:
        migrate(dsn)
        yield dsn


@pytest.fixture
def new_topic(stack: Settings) -> Iterator[Callable[..., str]]:
    """Return ``make(partitions=1, **config)``: it makes a topic, deleted afterwards, and names it."""
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    made = []

    def make(partitions: int = 1, **config: str) -> str:
        name = f"test.{uuid4().hex[:12]}"
        options = {option.replace("_", "."): value for option, value in config.items()}
        admin.create_topics([NewTopic(name, partitions, 1, config=options)])[name].result(PATIENCE_S)
        made.append(name)
        return name

    yield make
    for deletion in admin.delete_topics(made).values() if made else ():
        deletion.result(PATIENCE_S)
