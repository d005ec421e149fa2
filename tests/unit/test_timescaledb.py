"""Postgres is sized for the machine, and never trades durability for speed."""

from __future__ import annotations

import pytest

from infra.stack.timescaledb import configuration

GIB = 1 << 30


@pytest.mark.parametrize(
    ("memory_bytes", "shared_buffers"),
    [(GIB // 4, "128MB"), (2 * GIB, "512MB"), (4 * GIB, "1024MB"), (64 * GIB, "1024MB")],
)
def test_shared_buffers_are_a_quarter_of_memory_within_bounds(memory_bytes: int, shared_buffers: str) -> None:
    assert f"shared_buffers = {shared_buffers}\n" in configuration(20000, memory_bytes)


def test_nothing_is_committed_that_a_crash_could_lose() -> None:
    settings = configuration(20000, 4 * GIB)
    assert all(name not in settings for name in ("fsync", "synchronous_commit", "full_page_writes"))


def test_it_listens_on_loopback_alone_and_reports_to_nobody() -> None:
    settings = configuration(20000, 4 * GIB)
    assert "listen_addresses = '127.0.0.1'\nport = 20000\nunix_socket_directories = ''\n" in settings
    assert "timescaledb.telemetry_level = off\n" in settings
