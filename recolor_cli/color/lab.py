"""sRGB to CIELAB and back: the one implementation that run, training and evaluation share.

Colors, those that a network learns and is measured by, are OpenCV's float32 conversion (D65, 2
degree observer), which differs from the closed formula by up to 0.5 in a*. OpenCV's 8-bit Lab is
never used: it loses up to 24 levels on the way there and back.

Lightness is that of the closed formula (`rgb_to_lab_cie`), from which OpenCV's, a spline, differs
by up to 0.2; for bytes it is looked up. Pictures are painted by the closed formula, too,
and networks made elsewhere are fed and read by it (`model.foreign_profile`): a graph can repeat it.

References
----------
CIE 15:2004, Colorimetry, section 8.2.1. IEC 61966-2-1:1999 (sRGB).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.types import AnyPlanes, AnyRgbImage, FloatArray, RgbImage

# Linear sRGB to XYZ, with the coefficients and the D65 white of OpenCV's conversion.
_RGB_TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
_WHITE = _RGB_TO_XYZ.sum(axis=1)
XYZ_OF_RGB = (_RGB_TO_XYZ / _WHITE[:, None]).astype(np.float32)  # gray: all three the same
RGB_OF_XYZ = np.linalg.inv(_RGB_TO_XYZ / _WHITE[:, None]).astype(np.float32)


def rgb_to_lab_cv2(rgb: RgbImage | FloatArray) -> FloatArray:
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


def rgb_to_lab(rgb: AnyRgbImage | FloatArray) -> FloatArray:
    """Convert sRGB of any depth to CIELAB, float32, shape (H, W, 3).

    Parameters
    ----------
    rgb : uint8, uint16 or float32 array, shape (H, W, 3)
        As in `rgb_to_lab_cv2`; 16 bits are converted by `rgb_to_lab_cie`.
    """
    if rgb.dtype == np.uint16:
        return rgb_to_lab_cie(np.divide(rgb, 65535, dtype=np.float32))
    return rgb_to_lab_cv2(rgb)


def rgb_to_lightness(rgb: AnyRgbImage | FloatArray) -> FloatArray:
    """Return L*, float32, shape (H, W), 0..100, by the closed formula.

    Parameters
    ----------
    rgb : uint8, uint16 or float32 array, shape (H, W, 3)
        As in `rgb_to_lab_cv2`. Bytes are looked up in tables, to within 0.02.
    """
    if rgb.dtype == np.uint8:
        return cast(
            FloatArray,
            cv2.LUT(relative_luminance(cast(RgbImage, rgb)), luminance_tables().lightness),
        )
    scale = 1 / 65535 if rgb.dtype == np.uint16 else 1
    return np.ascontiguousarray(rgb_to_lab_cie(np.multiply(rgb, scale, dtype=np.float32))[..., 0])


def relative_luminance(rgb: RgbImage) -> AnyPlanes:
    """Return relative Y, linear, of uint8 (H, W, 3): uint16, (H, W), in 1 / `Y_SCALE`."""
    red, green, blue = cv2.split(rgb)
    tables = luminance_tables().of_channels
    if _equal(red, green) and _equal(green, blue):  # a third of the work
        return cast(AnyPlanes, cv2.LUT(red, luminance_tables().of_gray))
    y = cv2.LUT(red, tables[0])
    part = cv2.LUT(green, tables[1])
    cv2.add(y, part, y)
    cv2.LUT(blue, tables[2], part)
    return cast(AnyPlanes, cv2.add(y, part, y))


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Tell whether two planes are the same; where they are not, mostly by the first row."""
    return np.array_equal(one[:1], other[:1]) and np.array_equal(one, other)


Y_SCALE = 65_535


class LuminanceTables(NamedTuple):
    """What bytes and their light are looked up in."""

    of_gray: NDArray[np.uint16]  # (256,): byte to Y, in units
    of_channels: tuple[NDArray[np.uint16], ...]  # 3 of these: byte to a channel's part of it
    f: NDArray[np.float64]  # (65536,): Y in units to CIELAB's f(Y)
    lightness: FloatArray  # (65536,): Y in units to L*


@cache
def luminance_tables() -> LuminanceTables:
    """Return the tables; they take milliseconds to make."""
    light = srgb_to_linear(np.arange(256) / 255) * Y_SCALE
    of_gray = np.rint(light)
    red, green = (np.rint(weight * light) for weight in XYZ_OF_RGB[1, :2])
    parts = red, green, of_gray - red - green
    f = lab_f(np.arange(65_536) / Y_SCALE)
    return LuminanceTables(
        of_gray.astype(np.uint16),
        tuple(part.astype(np.uint16) for part in parts),
        f,
        np.minimum(116 * f - 16, 100).astype(np.float32),
    )


def rgb_to_gray(rgb: RgbImage) -> RgbImage:
    """Return the picture without its color: same shape, same L*, no chroma."""
    return lightness_to_gray(rgb_to_lightness(rgb))


def lightness_to_gray(lightness: FloatArray) -> RgbImage:
    """Return the gray picture, uint8 (H, W, 3), that has this L* (H, W), 0..100."""
    return lab_to_rgb_cv2(lightness, np.zeros((*lightness.shape, 2), np.float32))


def lab_to_rgb_cv2(lightness: FloatArray, ab: FloatArray) -> RgbImage:
    """Convert CIELAB to 8-bit sRGB, rounding to the nearest level.

    Colors outside sRGB are clipped channel by channel, which shifts lightness and hue:
    `recolor_cli.color.gamut.clip_chroma` beforehand keeps both.

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


def lab_to_rgb16(lightness: FloatArray, ab: FloatArray) -> NDArray[np.uint16]:
    """Convert CIELAB to 16-bit sRGB, by `lab_to_rgb_cie`; otherwise as `lab_to_rgb_cv2`."""
    levels: FloatArray = lab_to_rgb_cie(lightness, ab) * np.float32(65535)
    return np.rint(levels).astype(np.uint16)


def rgb_to_lab_cie(rgb: FloatArray) -> FloatArray:
    """Convert sRGB to CIELAB by the closed formula, also where it lies outside 0..1.

    Parameters
    ----------
    rgb : float32 array, shape (..., 3)
        Gamma-encoded sRGB; colors that sRGB does not reach are below 0 or above 1.

    Returns
    -------
    float32 array, shape (..., 3)
    """
    f = lab_f(srgb_to_linear(rgb) @ XYZ_OF_RGB.T)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=-1)


def lab_to_rgb_cie(lightness: FloatArray, ab: FloatArray) -> FloatArray:
    """Convert CIELAB to sRGB by the closed formula, the inverse of `rgb_to_lab_cie`.

    Parameters
    ----------
    lightness : float32 array, shape (...), 0..100
    ab : float32 array, shape (..., 2), CIELAB units

    Returns
    -------
    float32 array, shape (..., 3)
        Gamma-encoded sRGB, clipped to 0..1.
    """
    y = (lightness + 16) / np.float32(116)
    f = np.stack((y + ab[..., 0] / np.float32(500), y, y - ab[..., 1] / np.float32(200)), axis=-1)
    light = np.clip(lab_f_inverse(f) @ RGB_OF_XYZ.T, 0, 1)
    return cast(FloatArray, linear_to_srgb(light))


# The four curves of the closed formula, in the precision that they are given; numbers relative to
# white. sRGB: IEC 61966-2-1; f: CIE 15:2004, section 8.2.1.


def srgb_to_linear(level: NDArray[Any]) -> NDArray[Any]:
    """Return linear light for gamma-encoded sRGB, 0..1; negative levels go on straight."""
    curve = ((np.maximum(level, 0) + 0.055) / 1.055) ** 2.4
    return np.where(level <= 0.04045, level / 12.92, curve)


def linear_to_srgb(light: NDArray[Any]) -> NDArray[Any]:
    """Return gamma-encoded sRGB for linear light, 0..1, the inverse of `srgb_to_linear`."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def lab_f(light: NDArray[Any]) -> NDArray[Any]:
    """Return CIELAB's f of X, Y or Z."""
    straight = light * ((29 / 6) ** 2 / 3) + 4 / 29
    return np.where(light > (6 / 29) ** 3, np.cbrt(light), straight)


def lab_f_inverse(f: NDArray[Any]) -> NDArray[Any]:
    """Return X, Y or Z for CIELAB's f of it, the inverse of `lab_f`."""
    return np.where(f > 6 / 29, f * f * f, (f - 4 / 29) * (3 * (6 / 29) ** 2))
