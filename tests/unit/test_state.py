"""What a checkout remembers of its stack survives, stays private and is handed over whole."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from infra.stack.errors import StackError
from infra.stack.state import State, write_private


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "a checkout" / ".streamgauge"
    directory.mkdir(parents=True)
    return directory


def test_passwords_and_ports_are_made_once_and_remembered(directory: Path) -> None:
    state = State(directory)
    secret, port = state.secret("owner"), state.choose_port("kafka")
    again = State(directory)
    assert again.secret("owner") == secret
    assert again.choose_port("kafka") == port
    assert again.secret("writer") != secret


def test_only_the_owner_may_read_the_passwords(directory: Path) -> None:
    State(directory).secret("owner")
    assert stat.S_IMODE((directory / "stack.json").stat().st_mode) == 0o600


def test_services_never_share_a_port(directory: Path) -> None:
    state = State(directory)
    ports = [state.choose_port(name) for name in ("kafka", "kafka_controller", "timescaledb", "redis")]
    assert len(set(ports)) == 4


def test_the_announcement_is_what_settings_read(directory: Path) -> None:
    State(directory).announce("native", {"kafka": "127.0.0.1:1"})
    stored = json.loads((directory / "stack.json").read_text())
    assert (stored["mode"], stored["env"]) == ("native", {"kafka": "127.0.0.1:1"})


def test_commands_take_turns_and_see_what_the_last_one_did(directory: Path) -> None:
    first, second = State(directory), State(directory)
    waits = threading.Event()
    seen: list[str | None] = []

    def follow() -> None:
        with second.lock(waits.set):
            seen.append(second.mode)

    follower = threading.Thread(target=follow)
    with first.lock(lambda: pytest.fail("nobody else has the lock")):
        follower.start()
        assert waits.wait(30)
        first.announce("native", {})
    follower.join(30)
    assert seen == ["native"]


def test_forgetting_leaves_no_data_and_no_passwords(directory: Path) -> None:
    state = State(directory)
    with state.lock(lambda: None):
        old = state.secret("owner")
        (state.directory / "data" / "kafka").mkdir()
        state.forget()
        assert not state.data("kafka").exists()
        assert not state.file.exists()
        assert state.secret("owner") != old


def test_a_damaged_file_is_told_from_a_missing_one(directory: Path) -> None:
    (directory / "stack.json").write_text("{")
    with pytest.raises(StackError, match="damaged"):
        State(directory)


def test_a_private_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    write_private(file, "old")
    write_private(file, "new")
    assert file.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
