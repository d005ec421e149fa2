from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from jobs.retention.bar import Bar


@pytest.mark.parametrize("looks", [True, False])
def test_a_bar_tells_whoever_looks_which_chunk_was_done(looks: bool) -> None:
    screen = StringIO()
    with Bar(Console(file=screen, force_terminal=looks, width=100)) as bar:
        bar.begin(2)
        bar.step("2026-01-31")
    assert ("2026-01-31" in screen.getvalue()) is looks
