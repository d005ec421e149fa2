"""What every ``StatusBoard`` promises, asked of each adapter."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis

from sinks.memory import MemoryStatusBoard
from sinks.protocols import StatusBoard
from sinks.redis.status import RedisStatusBoard
from streams.settings import Settings
from tests.relay import Relay


class Board:
    """A status board, and how a test lets it grow old."""

    def __init__(self, board: StatusBoard, expire: Callable[[str], object]) -> None:
        self.board = board
        self.expire = expire
        self.owners = [f"{uuid4().hex}-{number}" for number in range(3)]

    def read(self) -> list[dict[str, object]]:
        """Return what this test's owners show: others may use the same Redis."""
        return [status for status in self.board.read() if status["owner"] in self.owners]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.stack)])
def board(request: pytest.FixtureRequest) -> Iterator[Board]:
    if request.param == "memory":
        now_s = [0.0]
        yield Board(MemoryStatusBoard(lambda: now_s[0]), lambda _: now_s.__setitem__(0, now_s[0] + 60))
        return
    url = Settings().redis_url.get_secret_value()
    made = RedisStatusBoard(url)
    server = redis.Redis.from_url(url)
    yield Board(made, lambda owner: server.pexpire(f"streamgauge:status:{owner}", 0))
    server.close()
    made.close()


def test_a_status_is_read_as_it_was_published(board: Board) -> None:
    status = {"owner": board.owners[0], "partitions": [0, 3], "rows_per_s": 1.5, "where": "Köln"}
    board.board.publish(board.owners[0], status, ttl_s=60)
    assert board.read() == [status]


def test_the_last_status_of_an_owner_counts(board: Board) -> None:
    for number in range(3):
        board.board.publish(board.owners[0], {"owner": board.owners[0], "number": number}, ttl_s=60)
    assert board.read() == [{"owner": board.owners[0], "number": 2}]


def test_statuses_are_read_in_the_order_of_their_owners(board: Board) -> None:
    for owner in reversed(board.owners):
        board.board.publish(owner, {"owner": owner}, ttl_s=60)
    assert [status["owner"] for status in board.read()] == sorted(board.owners)


def test_a_status_expires(board: Board) -> None:
    for owner in board.owners:
        board.board.publish(owner, {"owner": owner}, ttl_s=60)
    board.expire(board.owners[0])
    assert board.owners[0] not in [status["owner"] for status in board.read()]


def test_an_owner_comes_back_after_its_status_expired(board: Board) -> None:
    board.board.publish(board.owners[0], {"owner": board.owners[0]}, ttl_s=60)
    board.expire(board.owners[0])
    assert board.read() == []
    board.board.publish(board.owners[0], {"owner": board.owners[0]}, ttl_s=60)
    assert len(board.read()) == 1


@pytest.fixture(params=["refuses", "is silent"])
def dead_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if request.param == "refuses":
            listener.close()
        port = listener.getsockname()[1] if request.param == "is silent" else 1
        yield f"redis://127.0.0.1:{port}/0"


def test_a_redis_that_is_away_is_counted_and_logged_once(
    dead_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    board = RedisStatusBoard(dead_url)
    with caplog.at_level(logging.INFO, "sinks.redis.status"):
        for _ in range(3):
            board.publish("a", {"owner": "a"}, ttl_s=1)
        assert board.read() == []
    assert board.failures == 4
    assert len(caplog.records) == 1
    board.close()


@pytest.mark.timeout(10)
def test_a_redis_that_is_silent_holds_nobody_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        board = RedisStatusBoard(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        board.publish("a", {}, ttl_s=1)
        board.close()


@pytest.mark.stack
def test_a_redis_that_comes_back_is_used_again(caplog: pytest.LogCaptureFixture) -> None:
    address = urlsplit(Settings().redis_url.get_secret_value())
    assert address.hostname and address.port
    with Relay(address.hostname, address.port) as relay:
        login = address.netloc.rpartition("@")[0]
        board = RedisStatusBoard(address._replace(netloc=f"{login}@127.0.0.1:{relay.port}").geturl())
        owner = uuid4().hex
        board.publish(owner, {"owner": owner}, ttl_s=60)
        relay.cut()
        assert board.read() == []
        relay.mend()
        with caplog.at_level(logging.INFO, "sinks.redis.status"):
            caplog.clear()
            assert {"owner": owner} in board.read()
            board.read()
        board.close()
    assert [record.getMessage() for record in caplog.records] == [
        "Redis answers again; worker status is shown"
    ]
