from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.hierarchy import EVER, NOW, Placement, parse_node, parse_since, read_placements
from streams.core.places import node_path
from streams.errors import UserError

NAMES = st.one_of(st.none(), st.text("aB/é 1\\.", min_size=1))


@given(st.lists(NAMES, max_size=4))
def test_a_path_is_read_as_it_was_written(names: list[str | None]) -> None:
    while names and names[-1] is None:
        names.pop()
    assert parse_node(node_path(names)) == tuple(names)


@pytest.mark.parametrize("text", ["", "/north", "//press", "north\\hall", "north\\", "no\0rth"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no path") as refused:
        parse_node(text)
    assert "./ where there is none" in refused.value.hint


def test_a_path_has_four_levels_at_most() -> None:
    with pytest.raises(UserError, match="has 5 levels") as refused:
        parse_node("a/b/c/d/e")
    assert "SITE/ZONE/SYSTEM/COMPONENT" in refused.value.hint


def test_a_time_without_an_offset_is_utc() -> None:
    assert parse_since("now") is NOW
    assert parse_since("2026-01-31T12:00") == "2026-01-31T12:00:00+00:00"
    assert parse_since("2026-01-31T12:00+02:00") == "2026-01-31T12:00:00+02:00"
    with pytest.raises(UserError, match="'soon' is no time"):
        parse_since("soon")


def read(tmp_path: Path, text: str) -> list[Placement]:
    file = tmp_path / "places.csv"
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    return read_placements(file, "acme", "2026-01-01T00:00:00+00:00")


def test_a_file_says_what_stands_where(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "source,metric,site,system,since\npump-1,,north,cooling,ever\npump-2,rpm,,cooling,\n",
    )
    assert found == [
        Placement("pump-1", None, ("north", None, "cooling", None), "acme", EVER),
        Placement("pump-2", "rpm", (None, None, "cooling", None), "acme", "2026-01-01T00:00:00+00:00"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the columns are missing"),
        ("source,place\npump-1,north\n", "the columns are source, place"),
        ("site,zone\nnorth,hall\n", "the columns are site, zone"),
        ("source,site\npump-1\n", "line 2: not 2 values"),
        ("source,site\npump-1,north,hall\n", "line 2: not 2 values"),
        ("source,site\n,north\n", "line 2: not 2 values"),
        ("source,site,since\npump-1,north,soon\n", "line 2: 'soon' is no time"),
        ("source,site,site\npump-1,north,south\n", "the columns are source, site, site"),
        ("source,site\npump-1,no\0rth\n", "line 2: has a NUL"),
        ('source,site\npump-1,"north\n', "cannot be read: unexpected end of data"),
        ("source,site\npump-1,\udcff\n", "cannot be read: 'utf-8' codec can't decode"),
        (
            "source,metric,site\npump-1,,north\npump-1,rpm,north\npump-1,,south\n",
            "line 4: what line 2 puts somewhere at the same time",
        ),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read: .* No such file"):
        read_placements(tmp_path / "places.csv", "acme", NOW)
