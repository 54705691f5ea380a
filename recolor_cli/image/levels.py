"""Convert levels between 8 and 16 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.row_strips import map_row_strips
from recolor_cli.types import AnyPlanes


def stretch_to_16_bits(levels: NDArray[np.uint16], bits: int) -> NDArray[np.uint16]:
    """Stretch levels of `bits` bits to 0..65535."""
    if bits == 16:
        return levels
    highest = (1 << bits) - 1
    return np.rint(levels * np.float64(65535 / highest)).astype(np.uint16)


def reduce_to_8_bits(levels: AnyPlanes) -> NDArray[np.uint8]:
    """Reduce levels of 16 bits, 0..65535, to 0..255."""
    return map_row_strips(
        lambda rows: np.rint(levels[rows] / np.float32(257)), levels.shape, np.dtype(np.uint8)
    )
