"""sRGB to CIELAB and back: the one implementation that run, training and evaluation share.

OpenCV's float32 conversion (D65, 2 degree observer). It differs from the closed formula by up to
0.5 in a*, so a network must be trained, run and measured with the same one. OpenCV's 8-bit Lab is
never used: it loses up to 24 levels on the way there and back.

References
----------
CIE 15:2004, Colorimetry, section 8.2.1. IEC 61966-2-1:1999 (sRGB).
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from recolor_cli.types import FloatArray, RgbImage


def rgb_to_lab(rgb: RgbImage | FloatArray) -> FloatArray:
    """Convert sRGB to CIELAB.

    Parameters
    ----------
    rgb : uint8 or float32 array, shape (H, W, 3)
        Gamma-encoded sRGB, 0..255 or 0..1.

    Returns
    -------
    float32 array, shape (H, W, 3)
        L* in 0..100, a* in about -87..99, b* in about -108..95.

    Raises
    ------
    ValueError
        If the shape is not (H, W, 3).
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"expected an array of shape (H, W, 3), not {rgb.shape}")
    scale = 1 / 255 if rgb.dtype == np.uint8 else 1
    scaled = np.multiply(rgb, scale, dtype=np.float32)
    return cast(FloatArray, cv2.cvtColor(scaled, cv2.COLOR_RGB2Lab))


def lightness_of(rgb: RgbImage | FloatArray) -> FloatArray:
    """Return L*, float32, shape (H, W), 0..100, of sRGB as in `rgb_to_lab`."""
    return np.ascontiguousarray(rgb_to_lab(rgb)[..., 0])


def gray_of(rgb: RgbImage) -> RgbImage:
    """Return the picture without its color: same shape, same L*, no chroma."""
    return gray_from(lightness_of(rgb))


def gray_from(lightness: FloatArray) -> RgbImage:
    """Return the gray picture, uint8 (H, W, 3), that has this L* (H, W), 0..100."""
    return lab_to_rgb(lightness, np.zeros((*lightness.shape, 2), np.float32))


def lab_to_rgb(lightness: FloatArray, ab: FloatArray) -> RgbImage:
    """Convert CIELAB to 8-bit sRGB, rounding to the nearest level.

    Colors outside sRGB are clipped channel by channel, which shifts lightness and hue:
    `recolor_cli.gamut.clip_chroma` beforehand keeps both.

    Parameters
    ----------
    lightness : float32 array, shape (H, W), 0..100
    ab : float32 array, shape (H, W, 2), CIELAB units

    Returns
    -------
    uint8 array, shape (H, W, 3)
        Gamma-encoded sRGB.
    """
    rgb = cv2.cvtColor(np.dstack((lightness, ab)), cv2.COLOR_Lab2RGB)
    return np.rint(rgb * 255).astype(np.uint8)
