from __future__ import annotations

import pytest
from typer.testing import CliRunner

from jobs.cli.main import app

TIME = ["--from", "2026-01-31", "--to", "2026-02-01"]


@pytest.mark.parametrize("verb", ["restore", "release"])
@pytest.mark.parametrize(
    "options", [[], ["--tenant", "acme"], TIME[:2], TIME[2:], [*TIME, "--all"], [*TIME[:2], "--all"]]
)
def test_nobody_means_the_whole_archive_by_leaving_options_out(verb: str, options: list[str]) -> None:
    nowhere = {"STREAMGAUGE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "COLUMNS": "160"}
    done = CliRunner().invoke(app, ["archive", verb, *options], env=nowhere)
    assert done.exit_code == 2, (done.output, done.exception)
    assert "--all" in done.output
