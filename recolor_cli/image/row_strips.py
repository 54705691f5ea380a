"""Work on large arrays strip by strip, so that intermediate copies stay small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recolor_cli.types import AnyPlanes

STRIP_PIXELS = 1 << 18


def map_row_strips(
    make: Callable[[slice], AnyPlanes],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    strip_pixels: int = STRIP_PIXELS,
) -> AnyPlanes:
    """Return an array that is computed some rows at a time.

    Parameters
    ----------
    make : callable
        Returns the rows of a slice.
    shape : tuple of int
        Of the result: height, width and, if there are several, channels.
    dtype : dtype
        Of the result.
    strip_pixels : int
        About how many pixels are computed at a time.
    """
    result: AnyPlanes = np.empty(shape, dtype)
    rows = max(1, strip_pixels // shape[1])
    for start in range(0, shape[0], rows):
        part = slice(start, min(start + rows, shape[0]))
        result[part] = make(part)
    return result
