"""The picture of the way of a reading is that of the code."""

from __future__ import annotations

import re

from jobs.picture import BEGIN, END, README, draw, with_picture
from streams.core.pipeline import STAGES


def test_the_picture_in_the_readme_is_current() -> None:
    page = README.read_text(encoding="utf-8")

    assert page.count(BEGIN) == page.count(END) == 1
    assert page == with_picture(page), "python -m jobs.picture"


def test_the_picture_shows_every_stage_in_its_order() -> None:
    steps = re.findall(r"^  (\w+) ", draw(), re.MULTILINE)

    assert steps == ["producers", "Kafka", *STAGES, "TimescaleDB", "SQL"]


def test_only_what_stands_between_the_markers_is_drawn_anew() -> None:
    page = f"# Title\n\n{BEGIN}\nsomething old\n{END}\n\nThe rest.\n"

    assert with_picture(page) == f"# Title\n\n{BEGIN}\n{draw()}\n{END}\n\nThe rest.\n"
