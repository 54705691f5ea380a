"""Work on a picture in strips of rows, so that float copies stay small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recolor_cli.types import AnyPlanes


def row_strips(height: int, width: int, strip_pixels: int) -> list[slice]:
    """Return the rows of each strip of a picture, from the top.

    Parameters
    ----------
    height, width : int
        Size of the picture, px.
    strip_pixels : int
        Pixels of a strip, at most; a strip has at least one row.
    """
    rows = max(1, strip_pixels // width)
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]


def map_row_strips(
    make: Callable[[slice], AnyPlanes],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    strip_pixels: int,
) -> AnyPlanes:
    """Return an array whose strips of rows are made one after the other.

    Parameters
    ----------
    make : callable
        Takes the rows of the result as a slice, and returns their content.
    shape : tuple of int
        Of the result: height, width, and channels if there are any.
    dtype : numpy dtype
    strip_pixels : int
        Pixels of a strip, at most; a strip has at least one row.
    """
    result: AnyPlanes = np.empty(shape, dtype)
    for rows in row_strips(shape[0], shape[1], strip_pixels):
        result[rows] = make(rows)
    return result
