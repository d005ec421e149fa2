"""Asks a Confluent-compatible schema registry which schema a number stands for."""

from __future__ import annotations

import json
from collections import OrderedDict

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.registry import avro_fingerprint
from streams.errors import ServiceUnavailable

MAX_REMEMBERED = 10_000
TIMEOUT_S = 5.0
NOT_FOUND = 404


class SchemaRegistryUnavailable(ServiceUnavailable):
    """The schema registry cannot be asked now; whether a record is readable is not known."""


class SchemaRegistry:
    """Maps schema numbers to fingerprints, and remembers the last ``MAX_REMEMBERED`` answers.

    A number never changes its meaning, so an answer is good for ever; that includes "unknown",
    because a producer registers its schema before it uses the number.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = SchemaRegistryClient({"url": url, "timeout": TIMEOUT_S, "max.retries": 0})
        self._answers: OrderedDict[int, bytes | None] = OrderedDict()

    def fingerprint(self, number: int) -> bytes | None:
        """Return the CRC-64-AVRO fingerprint of schema ``number``, or None where there is none.

        Blocks while the registry is asked. Raises :class:`SchemaRegistryUnavailable`.
        """
        if number in self._answers:
            self._answers.move_to_end(number)
            return self._answers[number]
        answer = self._answers[number] = self._ask(number)
        if len(self._answers) > MAX_REMEMBERED:
            self._answers.popitem(last=False)
        return answer

    def _ask(self, number: int) -> bytes | None:
        try:
            schema = self._client.get_schema(number)
        except SchemaRegistryError as error:
            if error.http_status_code == NOT_FOUND:
                return None
            raise self._unavailable(error) from error
        except Exception as error:  # whatever its HTTP client raises: the question was not answered
            raise self._unavailable(error) from error
        if schema.schema_type != "AVRO" or schema.schema_str is None:
            return None
        return avro_fingerprint(json.loads(schema.schema_str))

    def _unavailable(self, error: Exception) -> SchemaRegistryUnavailable:
        return SchemaRegistryUnavailable(
            f"the schema registry at {self._url} does not answer: {error}",
            hint="Start it, or correct schema_registry_url.",
        )
