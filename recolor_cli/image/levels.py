"""Convert levels between 8 and 16 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.row_strips import map_row_strips
from recolor_cli.types import AnyPlanes


def stretch(levels: AnyPlanes, highest: int, dtype: type[np.uint8 | np.uint16]) -> AnyPlanes:
    """Stretch levels of 0..highest to all levels of a type, 0..255 or 0..65535."""
    top = int(np.iinfo(dtype).max)
    if highest == top:
        return levels.astype(dtype, copy=False)
    factor = np.float64(top / highest)
    return map_row_strips(
        lambda rows: np.rint(levels[rows] * factor), levels.shape, np.dtype(dtype)
    )


def reduce_to_8_bits(levels: AnyPlanes) -> NDArray[np.uint8]:
    """Reduce levels of 16 bits, 0..65535, to 0..255."""
    return map_row_strips(
        lambda rows: np.rint(levels[rows] / np.float32(257)), levels.shape, np.dtype(np.uint8)
    )
