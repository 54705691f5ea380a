"""Convert between sRGB and CIELAB, for runs, training and evaluation alike.

There are two formulas, and the suffix of a name tells which one it uses:

`_cv2`
    OpenCV's float32 conversion (D65, 2 degree observer). Networks learn these colors and are
    measured by them. It differs from the CIE's formula by up to 0.5 in a* and 0.2 in L*.
    OpenCV's 8-bit Lab is never used, because a round trip loses up to 24 levels.
`_cie`
    The closed formula of CIE 15:2004. Pictures of 16 bits are painted by it, and networks made
    elsewhere are fed by it, because an ONNX graph can repeat it. L* alone (`rgb_to_lightness`)
    always comes from this formula.

References
----------
CIE 15:2004, Colorimetry, section 8.2.1.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.srgb import linear_to_srgb, srgb_to_linear
from recolor_cli.types import AnyPlanes, AnyRgbImage, FloatArray, RgbImage

# The coefficients and the D65 white of OpenCV's conversion. X, Y and Z are relative to white, so
# that all three are equal for a gray.
_RGB_TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
_WHITE = _RGB_TO_XYZ.sum(axis=1)
LINEAR_RGB_TO_XYZ = (_RGB_TO_XYZ / _WHITE[:, None]).astype(np.float32)
XYZ_TO_LINEAR_RGB = np.linalg.inv(_RGB_TO_XYZ / _WHITE[:, None]).astype(np.float32)


def rgb_to_lab_cv2(rgb: RgbImage | FloatArray) -> FloatArray:
    """Convert sRGB to CIELAB by OpenCV's formula.

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


def rgb_to_lab_by_depth(rgb: AnyRgbImage) -> FloatArray:
    """Convert sRGB to CIELAB: uint8 by OpenCV's formula, uint16 by the CIE's.

    Parameters
    ----------
    rgb : uint8 or uint16 array, shape (H, W, 3)

    Returns
    -------
    float32 array, shape (H, W, 3)
    """
    if rgb.dtype == np.uint16:
        return rgb_to_lab_cie(np.divide(rgb, 65535, dtype=np.float32))
    return rgb_to_lab_cv2(rgb)


def rgb_to_lightness(rgb: AnyRgbImage | FloatArray) -> FloatArray:
    """Return L* by the CIE's formula, float32, shape (H, W), 0..100.

    Parameters
    ----------
    rgb : uint8, uint16 or float32 array, shape (H, W, 3)
        As in `rgb_to_lab_cv2`. Bytes are looked up in tables, which are exact to 0.03 L*.
    """
    if rgb.dtype == np.uint8:
        y = relative_luminance(cast(RgbImage, rgb))
        return cast(FloatArray, cv2.LUT(y, luminance_tables().lightness))
    scale = 1 / 65535 if rgb.dtype == np.uint16 else 1
    return np.ascontiguousarray(rgb_to_lab_cie(np.multiply(rgb, scale, dtype=np.float32))[..., 0])


def relative_luminance(rgb: RgbImage) -> AnyPlanes:
    """Return the relative luminance Y of uint8 (H, W, 3): uint16, (H, W), `Y_SCALE` is white."""
    red, green, blue = cv2.split(rgb)
    tables = luminance_tables()
    if _are_equal(red, green) and _are_equal(green, blue):  # a third of the work
        return cast(AnyPlanes, cv2.LUT(red, tables.y_of_gray))
    y_of_red, y_of_green, y_of_blue = tables.y_of_channels
    y = cv2.LUT(red, y_of_red)
    part = cv2.LUT(green, y_of_green)
    cv2.add(y, part, y)
    cv2.LUT(blue, y_of_blue, part)
    return cast(AnyPlanes, cv2.add(y, part, y))


def _are_equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Compare two planes; planes that differ mostly do so in their first row."""
    return np.array_equal(one[:1], other[:1]) and np.array_equal(one, other)


Y_SCALE = 65_535


class LuminanceTables(NamedTuple):
    """Lookup tables from bytes to Y, and from Y to L*; Y in units of 1 / `Y_SCALE`."""

    y_of_gray: NDArray[np.uint16]  # (256,): a gray's byte to Y
    y_of_channels: tuple[NDArray[np.uint16], ...]  # 3 x (256,): a channel's byte to its part of Y
    f: NDArray[np.float64]  # (65536,): Y to CIELAB's f(Y)
    lightness: FloatArray  # (65536,): Y to L*


@cache
def luminance_tables() -> LuminanceTables:
    """Compute the lookup tables, once per process."""
    light = srgb_to_linear(np.arange(256) / 255) * Y_SCALE
    y_of_gray = np.rint(light)
    red, green = (np.rint(weight * light) for weight in LINEAR_RGB_TO_XYZ[1, :2])
    parts = red, green, y_of_gray - red - green
    f = lab_f(np.arange(65_536) / Y_SCALE)
    return LuminanceTables(
        y_of_gray.astype(np.uint16),
        tuple(part.astype(np.uint16) for part in parts),
        f,
        np.minimum(116 * f - 16, 100).astype(np.float32),
    )


def rgb_to_gray(rgb: RgbImage) -> RgbImage:
    """Return a picture without its color: same shape, same L*, no chroma."""
    return lightness_to_gray(rgb_to_lightness(rgb))


def lightness_to_gray(lightness: FloatArray) -> RgbImage:
    """Return the gray picture, uint8 (H, W, 3), of an L* plane (H, W), 0..100."""
    return lab_to_rgb_cv2(lightness, np.zeros((*lightness.shape, 2), np.float32))


class GraySteps(NamedTuple):
    """The grays that OpenCV's float32 Lab knows, 513 of them, each for a range of L*."""

    edges: FloatArray  # (512,): L*, 0..100, where the second gray begins, the third, and so on
    grays: FloatArray  # (513,): sRGB, 0..1


@cache
def cv2_gray_steps() -> GraySteps:
    """Compute the gray that is left when OpenCV converts one to Lab, sets a and b to 0, and back.

    OpenCV rounds a gray to 1/16384, drops five of its 14 bits, and interpolates L* between every
    sixteenth of the rest. So a gray comes back up to 0.5 of 255 levels off, and on average 0.2 too
    dark.
    """
    numbers = np.arange(513, dtype=np.float32)
    middles = np.minimum((numbers + 0.5) / 512, 1)
    lab = rgb_to_lab_cv2(np.repeat(middles[None, :, None], 3, axis=2))
    lab[..., 1:] = 0
    edges = (numbers[1:] - 1 / 64) / 512
    return GraySteps(
        rgb_to_lab_cie(np.repeat(edges[:, None], 3, axis=1))[:, 0],
        np.ascontiguousarray(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB)[0, :, 1]),
    )


def lab_to_rgb_cv2(lightness: FloatArray, ab: FloatArray) -> RgbImage:
    """Convert CIELAB to 8-bit sRGB by OpenCV's formula, rounding to the nearest level.

    Colors outside sRGB are clipped channel by channel, which shifts lightness and hue. Call
    `recolor_cli.color.gamut_mapping.clip_chroma` first to keep both.

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


def lab_to_rgb16_cie(lightness: FloatArray, ab: FloatArray) -> NDArray[np.uint16]:
    """Convert CIELAB to 16-bit sRGB by the CIE's formula; arguments as of `lab_to_rgb_cv2`."""
    levels: FloatArray = lab_to_rgb_cie(lightness, ab) * np.float32(65535)
    return np.rint(levels).astype(np.uint16)


def rgb_to_lab_cie(rgb: FloatArray) -> FloatArray:
    """Convert sRGB to CIELAB by the CIE's formula.

    Parameters
    ----------
    rgb : float32 array, shape (..., 3)
        Gamma-encoded sRGB. Values below 0 and above 1 are colors outside the gamut.

    Returns
    -------
    float32 array, shape (..., 3)
    """
    f = lab_f(srgb_to_linear(rgb) @ LINEAR_RGB_TO_XYZ.T)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=-1)


def lab_to_rgb_cie(lightness: FloatArray, ab: FloatArray) -> FloatArray:
    """Convert CIELAB to sRGB by the CIE's formula, the inverse of `rgb_to_lab_cie`.

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
    light = np.clip(lab_f_inverse(f) @ XYZ_TO_LINEAR_RGB.T, 0, 1)
    return cast(FloatArray, linear_to_srgb(light))


def lab_f(xyz: NDArray[Any]) -> NDArray[Any]:
    """Return CIELAB's f of X, Y or Z, which are relative to white; keeps the precision."""
    straight = xyz * ((29 / 6) ** 2 / 3) + 4 / 29
    return np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), straight)


def lab_f_inverse(f: NDArray[Any]) -> NDArray[Any]:
    """Return X, Y or Z, relative to white, for CIELAB's f; the inverse of `lab_f`."""
    return np.where(f > 6 / 29, f * f * f, (f - 4 / 29) * (3 * (6 / 29) ** 2))
