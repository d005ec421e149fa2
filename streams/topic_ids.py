"""Asks Kafka for the ids of topics: a topic that is deleted and made again has the name of the former."""

from __future__ import annotations

import asyncio

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from streams.errors import ServiceUnavailable

TIMEOUT_S = 5.0
NO_ID = "A" * 22
"""How a broker writes the id of a topic when it knows no ids."""


class KafkaTopicIds:
    """Tells which topic a name stands for now."""

    def __init__(self, bootstrap: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    async def __call__(self, topic: str) -> str | None:
        """Return the id as Kafka's own tools show it; None where there is no topic, or no ids.

        Raises :class:`~streams.errors.ServiceUnavailable`.
        """
        return await asyncio.to_thread(self.ask, topic)

    def ask(self, topic: str) -> str | None:
        """Do the same, and block meanwhile."""
        try:
            asked = self._admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_S)
            found = str(asked[topic].result(TIMEOUT_S).topic_id)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise ServiceUnavailable(
                f"Kafka does not tell the id of {topic}: {error.args[0].str()}"
            ) from error
        except TimeoutError as error:
            raise ServiceUnavailable(f"Kafka does not tell the id of {topic}") from error
        return None if found == NO_ID else found.translate(_URL_SAFE)


_URL_SAFE = str.maketrans("+/", "-_")
