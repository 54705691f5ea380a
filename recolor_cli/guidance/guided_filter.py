"""Planes smoothed within the things of a picture, not across their edges."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from recolor_cli.types import FloatArray

_CHANNELS = 4  # that OpenCV's box filter takes at a time


def guided(planes: FloatArray, guide: FloatArray, radius: int, epsilon: float) -> FloatArray:
    """Smooth planes with a guided filter, which keeps the edges of its guide [He2013]_.

    Parameters
    ----------
    planes : float32 array, shape (C, h, w)
    guide : float32 array, shape (h, w)
    radius : int
        Of the window, px.
    epsilon : float
        Variance of the guide, in its unit squared, below which a window counts as flat.

    Returns
    -------
    float32 array, shape (C, h, w)

    References
    ----------
    .. [He2013] He, Sun, Tang: Guided image filtering, PAMI 35(6), 2013.
    """
    stack = np.ascontiguousarray(planes.transpose(1, 2, 0), np.float32)
    lone: FloatArray = guide[..., None]
    mean = _boxed(lone, radius)
    square: FloatArray = lone * lone
    variance = _boxed(square, radius) - mean * mean
    means = _boxed(stack, radius)
    product: FloatArray = stack * lone
    slope = _boxed(product, radius) - mean * means
    slope = cast(FloatArray, slope / (variance + np.float32(epsilon)))
    offset = means - slope * mean
    smooth = _boxed(slope, radius) * lone + _boxed(offset, radius)
    return np.ascontiguousarray(smooth.transpose(2, 0, 1))


def _boxed(stack: FloatArray, radius: int) -> FloatArray:
    """Return the mean of each window of an array (h, w, C)."""
    height, width, channels = stack.shape
    window = (2 * radius + 1, 2 * radius + 1)
    result = np.empty(stack.shape, np.float32)
    for first in range(0, channels, _CHANNELS):
        part = np.ascontiguousarray(stack[..., first : first + _CHANNELS], np.float32)
        blurred = cv2.blur(part, window, borderType=cv2.BORDER_REFLECT)
        result[..., first : first + _CHANNELS] = blurred.reshape(height, width, -1)
    return result
