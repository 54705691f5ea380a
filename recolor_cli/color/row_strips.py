"""Work on a picture in strips of rows, so that float copies stay small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recolor_cli.types import AnyPlanes

STRIP_PIXELS = 1 << 18


def row_strips(height: int, width: int, strip_pixels: int) -> list[slice]:
    """Divide a picture into strips of at most `strip_pixels`, or of one row; return their rows."""
    rows = max(1, strip_pixels // width)
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]


def map_row_strips(
    make: Callable[[slice], AnyPlanes],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    strip_pixels: int = STRIP_PIXELS,
) -> AnyPlanes:
    """Return an array, (H, W) or (H, W, C), whose strips `make` returns when given their rows."""
    result: AnyPlanes = np.empty(shape, dtype)
    for rows in row_strips(shape[0], shape[1], strip_pixels):
        result[rows] = make(rows)
    return result
