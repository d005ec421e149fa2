"""Epochs only ever rise."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.epoch import next_epoch
from streams.errors import UserError


@given(clock=st.lists(st.integers(0, 2**50), min_size=1, max_size=8))
def test_an_epoch_is_higher_after_every_start_whatever_the_clock_does(
    clock: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("epochs")

    epochs = [next_epoch(directory, "host-a", now_ms) for now_ms in clock]

    assert epochs == sorted(set(epochs))
    assert epochs[0] == clock[0]


def test_producers_have_epochs_of_their_own(tmp_path: Path) -> None:
    assert next_epoch(tmp_path, "a", 5) == next_epoch(tmp_path, "b", 5) == 5


def test_a_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    next_epoch(tmp_path / "epochs", "../../outside", 5)

    assert [path.parent.name for path in tmp_path.rglob("*.epoch")] == ["epochs"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UserError, match="cannot keep the producer's epoch"):
        next_epoch(tmp_path / "file", "a", 5)


def test_a_damaged_file_is_told_rather_than_guessed(tmp_path: Path) -> None:
    (tmp_path / "a.epoch").write_text("x\n")

    with pytest.raises(UserError, match="cannot keep"):
        next_epoch(tmp_path, "a", 5)
