"""Gamut mapping: reduce chroma until sRGB can show a color, and keep lightness and hue."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from recolor_cli.color.lab import XYZ_TO_LINEAR_RGB, lab_f_inverse
from recolor_cli.types import FloatArray

_MAX_REMAP_COLUMNS = 32_000  # OpenCV's remap takes fewer than 2^15
_LEVELS_PER_LIGHTNESS = 2  # rows of the chroma table for each unit of L*


def clip_chroma(lightness: FloatArray, ab: FloatArray) -> FloatArray:
    """Reduce chroma to the largest that sRGB can show at the same lightness and hue.

    Colors inside the gamut stay as they are.

    Parameters
    ----------
    lightness : float32 array, shape (H, W), 0..100
    ab : float32 array, shape (H, W, 2), CIELAB units

    Returns
    -------
    float32 array, shape (H, W, 2)
    """
    return ab * chroma_scale(lightness, ab[..., 0], ab[..., 1])[..., None]


def chroma_scale(lightness: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the factor on chroma that `clip_chroma` applies, 0..1; all float32, shape (H, W)."""
    chroma, hue = cv2.cartToPolar(a, b, angleInDegrees=True)
    level = lightness * np.float32(_LEVELS_PER_LIGHTNESS)
    scale = np.empty_like(chroma)
    for left in range(0, chroma.shape[1], _MAX_REMAP_COLUMNS):
        columns = slice(left, left + _MAX_REMAP_COLUMNS)
        scale[:, columns] = cv2.remap(  # bilinear in the table: x is hue, y is lightness
            _chroma_table(),
            hue[:, columns],
            level[:, columns],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    np.maximum(chroma, np.float32(1e-6), out=chroma)  # ab units; gray stays gray by any factor
    np.divide(scale, chroma, out=scale)
    return np.minimum(scale, np.float32(1), out=scale)


@cache
def _chroma_table() -> FloatArray:
    """Return the largest chroma in sRGB, shape (lightness levels 0..200, hue 0..360 degrees).

    It is found by bisection on chroma. A few rays of very light and dark colors leave sRGB, come
    back and leave again. Bisection finds one of these borders, and colors in the gap between them
    are clipped a little when they are converted to sRGB.
    """
    levels = np.arange(100 * _LEVELS_PER_LIGHTNESS + 1, dtype=np.float32)
    hue = np.deg2rad(np.arange(360 + 1, dtype=np.float32))
    f_y = (levels[:, None] / _LEVELS_PER_LIGHTNESS + 16) / 116
    shape = (len(levels), len(hue))
    inside, outside = np.zeros(shape, np.float32), np.full(shape, 140, np.float32)
    y = lab_f_inverse(f_y)
    least, most = np.float32(-1e-4), np.float32(1 + 1e-4)
    # The first picture waits for this table: single precision and few arrays save time.
    for _ in range(12):  # to 140 / 2^12 = 0.04 ab units
        chroma = (inside + outside) / 2
        x = lab_f_inverse(f_y + chroma * (np.cos(hue) / 500))
        z = lab_f_inverse(f_y - chroma * (np.sin(hue) / 200))
        fits = np.ones(shape, bool)
        for of_x, of_y, of_z in XYZ_TO_LINEAR_RGB:
            light = of_x * x + of_z * z
            light += of_y * y
            fits &= light >= least
            fits &= light <= most
        np.copyto(inside, chroma, where=fits)
        np.copyto(outside, chroma, where=~fits)
    return inside
