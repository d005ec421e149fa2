"""Services that the user has already are found in the environment, asked, and left alone."""

from __future__ import annotations

import socket

import pytest

from infra.stack.errors import StackError
from infra.stack.external import External, find_external


def test_nothing_named_means_nothing_external() -> None:
    assert find_external({"PATH": "/bin", "STREAMGAUGE_KAFKA": ""}, own={}) == {}


def test_each_service_is_external_where_its_variable_names_one() -> None:
    environment = {
        "STREAMGAUGE_KAFKA": "broker:9092",
        "STREAMGAUGE_DATABASE_URL": "postgresql://me:secret@db:5432/telemetry",
        "STREAMGAUGE_REDIS_URL": "redis://:secret@cache:6379/0",
    }
    found = find_external(environment, own={})
    assert {name: service.address for name, service in found.items()} == {
        "kafka": "broker:9092",
        "timescaledb": "db:5432",
        "redis": "cache:6379",
    }


def test_workers_and_analysts_use_the_owners_login_unless_they_have_their_own() -> None:
    environment = {"STREAMGAUGE_DATABASE_URL": "postgresql://owner@db/t"}
    assert find_external(environment, own={})["timescaledb"].addresses == {
        "database_url": "postgresql://owner@db/t",
        "writer_url": "postgresql://owner@db/t",
        "reader_url": "postgresql://owner@db/t",
    }
    environment["STREAMGAUGE_READER_URL"] = "postgresql://reader@db/t"
    found = find_external(environment, own={})["timescaledb"].addresses
    assert found["reader_url"] == "postgresql://reader@db/t"


def test_the_stacks_own_exports_are_not_external() -> None:
    own = {"kafka": "127.0.0.1:20000", "redis_url": "redis://:secret@127.0.0.1:20001/0"}
    environment = {f"STREAMGAUGE_{name.upper()}": value for name, value in own.items()}
    assert find_external(environment, own) == {}


def test_one_that_does_not_answer_is_named_with_the_variable_that_led_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    service = External("redis", {"redis_url": f"redis://:secret@127.0.0.1:{port}/0"})
    with pytest.raises(StackError, match="STREAMGAUGE_REDIS_URL") as failure:
        service.check()
    assert "secret" not in str(failure.value)
    assert "unset it" in failure.value.hint
