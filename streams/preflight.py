"""Waits until a worker has what it needs, and says what is missing: a database schema, a topic.

Services start in any order. A worker that is early waits, rather than failing in a loop or reading
into a schema it does not know.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from sinks.timescale.levels import levels_lacking
from sinks.timescale.migrate import pending
from streams.settings import Settings

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
KAFKA_TIMEOUT_S = 5.0


def wait_until_ready(settings: Settings, stopped: Callable[[], bool]) -> None:
    """Return when nothing is missing any more, or when ``stopped`` says so.

    Raises :class:`~sinks.timescale.migrate.MigrationError` for what waiting does not mend: a
    database that is newer than this program.
    """
    said = ""
    while not stopped() and (lack := missing(settings)):
        if lack != said:
            log.warning("Waiting: %s", lack)
            said = lack
        time.sleep(LOOK_EVERY_S)


def missing(settings: Settings) -> str:
    """Return what a worker lacks and what to do about it, or an empty string."""
    try:
        migrations = pending(settings.writer_dsn)
        levels = "" if migrations else levels_lacking(settings.writer_dsn, settings.rollup_widths_us)
    except psycopg.OperationalError as error:
        return f"the database does not answer: {_first_line(error)}"
    if migrations:
        return f"the database lacks {', '.join(migrations)}: run `streamgauge migrate`"
    if levels:
        return f"{levels}: run `streamgauge migrate`, or name in rollup_levels what it keeps"
    try:
        kafka = AdminClient({"bootstrap.servers": settings.kafka})
        topics = kafka.list_topics(timeout=KAFKA_TIMEOUT_S).topics
    except KafkaException as error:
        return f"Kafka at {settings.kafka} does not answer: {_first_line(error)}"
    if settings.readings_topic not in topics:
        return f"there is no topic {settings.readings_topic}: run `streamgauge topics apply`"
    return ""


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
