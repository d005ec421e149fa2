"""A checkout keeps its ports, and gives way where somebody else has them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from infra.stack.ports import FIRST, LAST, free_port, is_free


@pytest.fixture
def taken_port() -> Iterator[int]:
    port = free_port(None, seed="taken", taken=())
    with socket.create_server(("127.0.0.1", port)):
        yield port


def test_a_listening_port_is_not_free(taken_port: int) -> None:
    assert not is_free(taken_port)


def test_a_port_is_free_again_once_nobody_listens() -> None:
    port = free_port(None, seed="again", taken=())
    with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(("127.0.0.1", port)):
        server.accept()[0].close()
    assert is_free(port)


def test_the_preferred_port_is_kept_while_it_is_free() -> None:
    port = free_port(None, seed="kept", taken=())
    assert free_port(port, seed="somewhere else", taken=()) == port


def test_another_port_is_found_when_the_preferred_one_is_taken(taken_port: int) -> None:
    port = free_port(taken_port, seed="taken", taken=())
    assert port != taken_port
    assert is_free(port)


def test_ports_of_other_services_are_avoided_even_before_they_listen() -> None:
    first = free_port(None, seed="same", taken=())
    assert free_port(None, seed="same", taken={first}) != first
    assert free_port(first, seed="same", taken={first}) != first


def test_two_checkouts_that_search_at_once_start_apart() -> None:
    found = {free_port(None, seed=f"/home/me/clone{number}", taken=()) for number in range(20)}
    assert len(found) == 20
    assert all(FIRST <= port <= LAST for port in found)
