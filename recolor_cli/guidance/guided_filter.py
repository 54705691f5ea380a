"""Edge-preserving smoothing."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from recolor_cli.types import FloatArray


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
    size = 2 * radius + 1, 2 * radius + 1

    def box_mean(plane: FloatArray) -> FloatArray:
        return cast(FloatArray, cv2.blur(plane, size, borderType=cv2.BORDER_REFLECT))

    mean = box_mean(guide)
    inverse = 1 / (box_mean(guide * guide) - mean * mean + np.float32(epsilon))
    result = np.empty(planes.shape, np.float32)
    for plane, smooth in zip(planes, result, strict=True):  # one at a time: they fit the cache
        offset = box_mean(plane)
        slope = box_mean(plane * guide)
        slope -= mean * offset
        slope *= inverse
        offset -= slope * mean
        np.multiply(box_mean(slope), guide, out=smooth)
        smooth += box_mean(offset)
    return result
