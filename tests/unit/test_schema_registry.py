"""Schema numbers become fingerprints; only a clear "no such schema" is taken for one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from schemas.encode import encode_reading
from schemas.registry import READING_V1, SINGLE_OBJECT_PREFIX_BYTES
from streams.core.batch import Messages
from streams.core.limits import Limits
from streams.core.pipeline import Pipeline
from streams.core.rejection import Reason
from streams.schema_registry import SchemaRegistry, SchemaRegistryUnavailable

OURS, SOMEBODY_ELSES, BROKEN = 7, 8, 9


class Registry(ThreadingHTTPServer):
    """Answers as a schema registry does, and counts what it is asked."""

    asked = 0


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Registry)
        self.server.asked += 1
        number = int(self.path.split("?")[0].rsplit("/", 1)[1])
        schemas = {OURS: READING_V1.text, SOMEBODY_ELSES: '"long"'}
        if number in schemas:
            self.answer(200, {"schema": schemas[number]})
        elif number == BROKEN:
            self.answer(500, {"error_code": 50001, "message": "store is down"})
        else:
            self.answer(404, {"error_code": 40403, "message": "schema not found"})

    def answer(self, status: int, body: dict[str, object]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Registry]:
    with Registry(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def registry_at(server: Registry) -> SchemaRegistry:
    return SchemaRegistry(f"http://127.0.0.1:{server.server_address[1]}")


def framed(number: int) -> bytes:
    value = encode_reading(source="pump", metric="rpm", time_us=1_790_000_000_000_000, value=1.0)
    return b"\x00" + number.to_bytes(4, "big") + value[SINGLE_OBJECT_PREFIX_BYTES:]


def test_records_framed_with_a_known_number_are_read_and_others_refused(server: Registry) -> None:
    pipeline = Pipeline(Limits(), registry_at(server).fingerprint)
    values = [framed(OURS), framed(SOMEBODY_ELSES), framed(OURS), framed(404)]
    messages = Messages(values, [b"gw"] * 4, np.arange(4), np.full(4, 1_790_000_000_000))
    decoded, _, _ = pipeline(messages)
    assert decoded.columns.offset.tolist() == [0, 2]
    assert [(refused.offset, refused.reason) for refused in decoded.rejections] == [
        (1, Reason.UNKNOWN_SCHEMA),
        (3, Reason.UNKNOWN_SCHEMA),
    ]


def test_each_number_is_asked_for_once(server: Registry) -> None:
    registry = registry_at(server)
    for _ in range(3):
        assert registry.fingerprint(OURS) == READING_V1.fingerprint
        assert registry.fingerprint(404) is None
    assert server.asked == 2


def test_a_registry_that_fails_is_not_taken_for_an_unknown_schema(server: Registry) -> None:
    registry = registry_at(server)
    with pytest.raises(SchemaRegistryUnavailable, match="store is down"):
        registry.fingerprint(BROKEN)


def test_a_registry_that_is_away_says_what_to_do() -> None:
    with pytest.raises(SchemaRegistryUnavailable) as problem:
        SchemaRegistry("http://127.0.0.1:9").fingerprint(OURS)
    assert "schema_registry_url" in problem.value.hint
