"""A series and what was found in it as a PNG, drawn by hand: it needs no library and no fonts.

Above the values, with labelled windows green and episodes red below them; underneath the scores.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, SCORES_HEIGHT, MARGIN = 1200, 300, 90, 10
PAPER, INK, SCORE, WINDOW, EPISODE = (
    (255, 255, 255),
    (31, 41, 51),
    (62, 124, 177),
    (198, 230, 190),
    (250, 170, 160),
)

Picture = npt.NDArray[np.uint8]
Interval = tuple[int, int]


def draw_series(
    time_us: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    score: npt.NDArray[np.float64],
    episodes: Sequence[Interval],
    windows: Sequence[Interval] = (),
) -> Picture:
    """Return rows of red, green and blue; intervals are from and to, in microseconds.

    >>> draw_series(np.arange(3), np.ones(3), np.zeros(3), episodes=[(1, 1)]).shape
    (430, 1220, 3)
    """
    picture = np.full((HEIGHT + SCORES_HEIGHT + 4 * MARGIN, WIDTH + 2 * MARGIN, 3), PAPER, np.uint8)
    values = picture[MARGIN : MARGIN + HEIGHT, MARGIN:-MARGIN]
    scores = picture[HEIGHT + 3 * MARGIN : -MARGIN, MARGIN:-MARGIN]
    if len(time_us):
        first_us, last_us = int(time_us.min()), int(time_us.max())

        def column(at_us: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
            share = (at_us - first_us) / max(last_us - first_us, 1)
            return np.clip(share * (WIDTH - 1), 0, WIDTH - 1).astype(np.intp)

        for panel, colour, intervals in (
            (values, WINDOW, windows),
            (values[HEIGHT // 2 :], EPISODE, episodes),
        ):
            for start, end in intervals:
                left, right = column(np.array([start, end]))
                panel[:, left : right + 2] = colour
        _curve(values, column(time_us), value, INK)
        _curve(scores, column(time_us), score, SCORE, low=0.0, high=1.0)
    return picture


def _curve(
    panel: Picture,
    column: npt.NDArray[np.intp],
    value: npt.NDArray[np.float64],
    colour: tuple[int, int, int],
    low: float | None = None,
    high: float | None = None,
) -> None:
    """Draw a vertical line a reading, from its predecessor's height to its own."""
    known = np.isfinite(value)
    column, value = column[known], value[known]
    if not len(value):
        return
    low = float(value.min()) if low is None else low
    high = float(value.max()) if high is None else high
    bottom = panel.shape[0] - 1
    # Halved, so that no difference of two numbers is too large.
    share = (value / 2 - low / 2) / ((high / 2 - low / 2) or 1.0)
    height = bottom - np.clip(share * bottom, 0, bottom).astype(np.intp)
    before = np.append(height[0], height[:-1])
    for at, top, end in zip(column, np.minimum(height, before), np.maximum(height, before), strict=True):
        panel[top : end + 1, at] = colour


def png_of(picture: Picture) -> bytes:
    r"""Return a picture as a PNG file.

    >>> png_of(np.zeros((1, 1, 3), np.uint8))[:8]
    b'\x89PNG\r\n\x1a\n'
    """
    height, width, _ = picture.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def write_png(picture: Picture, file: Path) -> None:
    """Write a picture to a file."""
    file.write_bytes(png_of(picture))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
