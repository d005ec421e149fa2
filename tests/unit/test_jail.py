"""How a program is run in another root file system, with and without the rights of root."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.stack.errors import StackError
from infra.stack.jail import SERVICE_ID, Jail, open_jail

ROOT, DATA = Path("/cache/debian/root"), Path("/home/me/my clone/.streamgauge/data/redis")


@pytest.mark.parametrize("privileged", [True, False])
def test_every_step_execs_so_the_started_process_becomes_the_program(privileged: bool) -> None:
    command = Jail(ROOT, DATA, privileged).command(["/usr/bin/redis-server", "/srv/redis.conf"])
    assert command[-2:] == ["/usr/bin/redis-server", "/srv/redis.conf"]
    assert "--fork" not in command
    assert str(DATA) in command


def test_root_gives_its_rights_up() -> None:
    command = Jail(ROOT, DATA, privileged=True).command(["true"])
    assert f"--setuid={SERVICE_ID}" in command
    assert f"--setgid={SERVICE_ID}" in command
    assert "--map-root-user" not in command


def test_an_ordinary_user_gets_a_user_namespace_and_is_not_root_in_it() -> None:
    command = Jail(ROOT, DATA, privileged=False).command(["true"])
    assert "--map-root-user" in command
    assert command.index("--map-root-user") < command.index(f"--map-user={SERVICE_ID}")
    assert not any(argument.startswith("--setuid") for argument in command)


def test_where_nothing_is_allowed_the_user_hears_what_to_do(tmp_path: Path) -> None:
    # An empty root has no program to run, whatever the system allows.
    with pytest.raises(StackError, match="own root directory") as failure:
        open_jail(tmp_path, tmp_path)
    assert "STREAMGAUGE_DATABASE_URL" in failure.value.hint
