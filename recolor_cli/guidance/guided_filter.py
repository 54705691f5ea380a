"""Edge-preserving smoothing."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from recolor_cli.types import FloatArray

_CHANNELS = 4  # OpenCV's box filter takes no more at a time


def guided_filter(planes: FloatArray, guide: FloatArray, radius: int, epsilon: float) -> FloatArray:
    """Smooth planes, but not across the edges of a guide [He2013]_.

    Parameters
    ----------
    planes : float32 array, shape (C, h, w)
    guide : float32 array, shape (h, w)
    radius : int
        Radius of the window, px.
    epsilon : float
        Variance of the guide below which a window counts as flat, in the guide's unit squared.

    Returns
    -------
    float32 array, shape (C, h, w)

    References
    ----------
    .. [He2013] He, Sun, Tang: Guided image filtering, PAMI 35(6), 2013.
    """
    stack = np.ascontiguousarray(planes.transpose(1, 2, 0), np.float32)
    guide_plane: FloatArray = guide[..., None]
    mean = _box_mean(guide_plane, radius)
    square: FloatArray = guide_plane * guide_plane
    variance = _box_mean(square, radius) - mean * mean
    means = _box_mean(stack, radius)
    product: FloatArray = stack * guide_plane
    slope = _box_mean(product, radius) - mean * means
    slope = cast(FloatArray, slope / (variance + np.float32(epsilon)))
    offset = means - slope * mean
    smooth = _box_mean(slope, radius) * guide_plane + _box_mean(offset, radius)
    return np.ascontiguousarray(smooth.transpose(2, 0, 1))


def _box_mean(stack: FloatArray, radius: int) -> FloatArray:
    """Return the mean over the window around each pixel of an array (h, w, C)."""
    height, width, channels = stack.shape
    window = (2 * radius + 1, 2 * radius + 1)
    result = np.empty(stack.shape, np.float32)
    for first in range(0, channels, _CHANNELS):
        part = np.ascontiguousarray(stack[..., first : first + _CHANNELS], np.float32)
        blurred = cv2.blur(part, window, borderType=cv2.BORDER_REFLECT)
        result[..., first : first + _CHANNELS] = blurred.reshape(height, width, -1)
    return result
