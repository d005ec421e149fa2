"""Native kernels: which are used, and what is said of the others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from streams.core.detect import lookout_kernel
from streams.core.native import Loaded, load
from streams.core.wire import json_kernel

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is here, so no kernel")

every_kernel = pytest.mark.parametrize("library", [json_kernel.LIBRARY, lookout_kernel.LIBRARY])


@pytest.mark.parametrize(
    ("loaded", "done"), [(json_kernel.LOADED, "read"), (lookout_kernel.LOADED, "judged")]
)
def test_each_kernel_is_in_use_where_a_compiler_is(loaded: Loaded, done: str) -> None:
    assert loaded.library is not None, f"{loaded.state}; run: python hatch_build.py"
    assert loaded.state == f"{done} by the native kernel"


def test_without_a_library_the_reason_is_told(tmp_path: Path) -> None:
    library = tmp_path / "some.so"
    assert load(library, {}, "read") == (None, "read in Python: no native kernel was built here")

    library.write_bytes(b"no library")
    assert "cannot be loaded" in load(library, {}, "read").state


@every_kernel
def test_a_library_of_another_source_is_not_used(library: Path, tmp_path: Path) -> None:
    shutil.copytree(library.parent, tmp_path, dirs_exist_ok=True)
    copied = tmp_path / library.name
    assert load(copied, {}, "read").library is not None

    copied.with_suffix(".c").write_text("/* changed */", encoding="utf-8")
    found = load(copied, {}, "read")
    assert found == (None, "read in Python: the native kernel was built from another source")
