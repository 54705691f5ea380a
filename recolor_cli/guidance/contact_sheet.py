"""Draw a contact sheet: pictures of one size, each with its label."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.types import RgbImage

SIDE = 480  # px, the longest side of a picture on the sheet
_GAP, _LABEL_HEIGHT = 16, 28  # px
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.7
_ASPECT = 4 / 3  # approximate ratio of width to height of the sheet


def draw_contact_sheet(pictures: Sequence[RgbImage], labels: Sequence[str]) -> RgbImage:
    """Draw pictures on white, with a label under each.

    Parameters
    ----------
    pictures : sequence of uint8 arrays, shape (h, w, 3), sRGB
        All of one size.
    labels : sequence of str
        ASCII, short.

    Returns
    -------
    uint8 array, shape (H, W, 3)
    """
    height, width = pictures[0].shape[:2]
    cell_height, cell_width = height + _LABEL_HEIGHT + _GAP, width + _GAP
    columns = _choose_columns(len(pictures), cell_width / cell_height)
    rows = math.ceil(len(pictures) / columns)
    sheet: NDArray[np.uint8] = np.full(
        (rows * cell_height + _GAP, columns * cell_width + _GAP, 3), 255, np.uint8
    )
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        row, column = divmod(number, columns)
        top, left = _GAP + row * cell_height, _GAP + column * cell_width
        sheet[top : top + height, left : left + width] = picture
        (text_width, text_height), _ = cv2.getTextSize(label, _FONT, _FONT_SCALE, 1)
        place = left + max(0, (width - text_width) // 2), top + height + text_height + 8
        cv2.putText(sheet, label, place, _FONT, _FONT_SCALE, (0, 0, 0), 1, cv2.LINE_AA)
    return sheet


def _choose_columns(count: int, cell_aspect: float) -> int:
    """Return the number of columns of a sheet with few empty cells and about the right shape."""

    def penalty(columns: int) -> float:
        rows = math.ceil(count / columns)
        empty = (rows * columns - count) / count
        return empty + abs(math.log(columns * cell_aspect / rows / _ASPECT))

    return min(range(1, count + 1), key=penalty)
