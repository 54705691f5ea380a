"""Large arrays of levels: conversion strip by strip, and between 8 and 16 bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recolor_cli.types import AnyPlanes

STRIP_PIXELS = 1 << 18


def map_row_strips(
    make: Callable[[slice], AnyPlanes],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    strip_pixels: int = STRIP_PIXELS,
) -> AnyPlanes:
    """Return an array that is computed some rows at a time, so that temporary arrays stay small.

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
