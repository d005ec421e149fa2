"""What is drawn where."""

from __future__ import annotations

import zlib

import numpy as np

from jobs.seriesplot import EPISODE, HEIGHT, INK, MARGIN, WIDTH, WINDOW, draw_series, png_of


def is_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    same: np.ndarray = (picture == np.array(colour, np.uint8)).all(axis=2)
    return same


def test_intervals_and_values_are_where_they_belong() -> None:
    time_us = np.arange(101)
    picture = draw_series(
        time_us, time_us.astype(np.float64), np.zeros(101), episodes=[(50, 60)], windows=[(0, 10)]
    )
    window, episode = (np.flatnonzero(is_colour(picture, colour).any(axis=0)) for colour in (WINDOW, EPISODE))
    ink = is_colour(picture, INK)

    assert window.min() == MARGIN
    assert abs(window.max() - MARGIN - WIDTH * 0.1) < 5
    assert abs(episode.min() - MARGIN - WIDTH * 0.5) < 5
    assert ink[MARGIN, WIDTH + MARGIN - 1]
    assert ink[MARGIN + HEIGHT - 1, MARGIN]


def test_extreme_values_are_drawn() -> None:
    draw_series(np.arange(4), np.array([np.nan, 1e308, -1e308, np.inf]), np.zeros(4), [])


def test_a_png_holds_the_pixels() -> None:
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    file = png_of(picture)
    start = file.index(b"IDAT") + 4
    rows = np.frombuffer(zlib.decompressobj().decompress(file[start:]), np.uint8).reshape(2, 13)

    assert (rows[:, 0] == 0).all()
    assert np.array_equal(rows[:, 1:].reshape(2, 4, 3), picture)
