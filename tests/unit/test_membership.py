"""A slot is a worker's name: unique among the living, free again after any death."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams import membership
from streams.membership import NoFreeSlot, Slot, take_slot

HOLDER = """
import sys, time
from pathlib import Path
from streams.membership import take_slot
slot = take_slot(Path(sys.argv[1]), "g", "host")
print(slot.name, flush=True)
time.sleep(60)
"""


@pytest.fixture
def take(tmp_path: Path) -> Iterator[Callable[[str], Slot]]:
    taken: list[Slot] = []

    def take(group: str) -> Slot:
        taken.append(take_slot(tmp_path, group, "host"))
        return taken[-1]

    yield take
    for slot in taken:
        slot.release()


def test_two_live_workers_never_share_a_name(take: Callable[[str], Slot]) -> None:
    first = take("g")
    second = take("g")
    assert (first.name, second.name) == ("g-host-0", "g-host-1")


def test_a_released_slot_is_taken_again(take: Callable[[str], Slot]) -> None:
    take("g").release()
    assert take("g").number == 0


def test_groups_do_not_share_slots(take: Callable[[str], Slot]) -> None:
    one, other = take("g"), take("h")
    assert (one.number, other.number) == (0, 0)


def test_a_killed_worker_frees_its_slot(take: Callable[[str], Slot], tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline().strip() == "g-host-0"
        assert take("g").number == 1
        holder.send_signal(signal.SIGKILL)
    assert take("g").number == 0


def test_no_free_slot_says_what_to_do(take: Callable[[str], Slot], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MAX_SLOTS", 1)
    take("g")
    with pytest.raises(NoFreeSlot) as problem:
        take("g")
    assert "fewer workers" in problem.value.hint
