"""Convert pixels of any color profile to sRGB and back, with 8 or 16 bits, by LittleCMS.

LittleCMS is called through imagecodecs, because Pillow converts 8 bits only. The rendering intent
is the perceptual one, as in viewers.

References
----------
ICC.1:2022, section 7.2.6 (the space of a profile stands in bytes 16 to 19).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

import imagecodecs
import numpy as np
from PIL import ImageCms

from recolor_cli.color.gamut_mapping import clip_chroma
from recolor_cli.color.lab import lab_to_rgb_cie, rgb_to_lab_cie
from recolor_cli.color.row_strips import map_row_strips
from recolor_cli.errors import InputError, OutputError
from recolor_cli.types import AnyPlanes, AnyRgbImage, FloatArray

_STRIP_PIXELS = 1 << 20  # large, because each strip builds a transform
_LAB = "lab"  # LittleCMS's name
_CLIPPED = 1 / 255  # beyond sRGB. Less is clipped, because gamut mapping moves a color by more
_SRGB_TOLERANCE = 2  # levels of 255 by which profiles of sRGB differ


class Space(StrEnum):
    """The color space of a picture's channels. The value is its name in a profile."""

    GRAY = "GRAY"
    RGB = "RGB"
    CMYK = "CMYK"


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def space_of(profile: bytes) -> Space | None:
    """Return the color space of a profile; None if it is unknown or the bytes are no profile."""
    name = profile[16:20].decode("latin-1").strip()
    return Space(name) if name in tuple(Space) else None


def make_rgb_profile(chromaticities: Sequence[float], curve: FloatArray) -> bytes:
    """Make a profile of RGB from its primaries and its transfer function.

    Parameters
    ----------
    chromaticities : sequence of 8 floats
        CIE x and y of white, red, green and blue.
    curve : float32 array, shape (N,)
        Linear light, 0..1, of evenly spaced levels from 0 to 1.

    Raises
    ------
    InputError
        If they make no color space.
    """
    white, *corners = (chromaticities[i : i + 2] for i in range(0, 8, 2))
    triangle = np.array([[x, y, 1 - x - y] for x, y in corners])
    if min(white) <= 0 or sum(white) > 1 or abs(np.linalg.det(triangle)) < 1e-3:
        raise InputError("its primaries make no triangle", "remove the cHRM chunk")
    try:
        return bytes(
            imagecodecs.cms_profile(
                "rgb",
                whitepoint=(*white, 1.0),
                primaries=[value for corner in corners for value in (*corner, 1.0)],
                transferfunction=curve,
            )
        )
    except (imagecodecs.CmsError, ValueError) as error:
        raise InputError("its primaries make no profile", "remove them") from error


@lru_cache(64)
def is_srgb(profile: bytes) -> bool:
    """Return whether a profile of RGB is sRGB, by converting colors with it.

    Raises
    ------
    InputError
        If the profile is broken.
    """
    axis = np.linspace(0, 255, 9).astype(np.uint8)
    colors = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, 3)
    result = _transform(colors, profile, SRGB, Space.RGB, Space.RGB, np.dtype(np.uint8))
    return int(np.abs(result.astype(int) - colors).max()) <= _SRGB_TOLERANCE


def to_srgb(pixels: AnyPlanes, profile: bytes, space: Space) -> AnyRgbImage:
    """Convert pixels to sRGB. Colors outside sRGB keep lightness and hue, and lose chroma.

    Parameters
    ----------
    pixels : uint8 or uint16 array, shape (H, W) or (H, W, C)
    profile : bytes
        Of `space`.
    space : Space

    Returns
    -------
    array of the same dtype, shape (H, W, 3)

    Raises
    ------
    InputError
        If the profile is broken.
    """
    top = np.iinfo(pixels.dtype).max

    def convert(rows: slice) -> AnyPlanes:
        strip = np.ascontiguousarray(pixels[rows])
        rgb = _transform(strip, profile, SRGB, space, Space.RGB, pixels.dtype)
        is_at_edge = ((rgb == 0) | (rgb == top)).any(axis=-1)
        is_at_edge &= rgb.min(axis=-1) != rgb.max(axis=-1)  # black and white are inside
        if is_at_edge.any():
            clipped = np.ascontiguousarray(strip[is_at_edge][None])
            unbounded = _transform(clipped, profile, SRGB, space, Space.RGB, np.dtype(np.float32))
            rgb[is_at_edge] = np.rint(_map_into_gamut(unbounded) * np.float32(top))[0]
        return rgb

    return map_row_strips(convert, (*pixels.shape[:2], 3), pixels.dtype, _STRIP_PIXELS)


def lab_to_srgb(lab: FloatArray, top: int, is_d65: bool = False) -> FloatArray:
    """Convert CIELAB to levels of sRGB, with gamut mapping as in `to_srgb`.

    Parameters
    ----------
    lab : float32 array, shape (H, W, 3)
    top : int
        The highest level.
    is_d65 : bool
        Whether it is relative to D65, the white of screens, instead of D50, that of print.

    Returns
    -------
    float array, shape (H, W, 3)
        Whole numbers, 0..top.
    """
    if is_d65:
        rgb = lab_to_rgb_cie(lab[..., 0], lab[..., 1:])
        outside = np.abs(rgb_to_lab_cie(rgb) - lab).max(axis=-1) > _CLIPPED * 100
        if outside.any():
            lightness, ab = lab[outside][None, :, 0], lab[outside][None, :, 1:]
            chroma = clip_chroma(np.ascontiguousarray(lightness), np.ascontiguousarray(ab))
            rgb[outside] = lab_to_rgb_cie(lightness, chroma)[0]
    else:
        profile = imagecodecs.cms_profile("lab4")
        rgb = _transform(lab, profile, SRGB, _LAB, Space.RGB, np.dtype(np.float32))
        rgb = _map_into_gamut(rgb)
    levels: FloatArray = np.rint(rgb * np.float32(top))
    return levels


def from_srgb(rgb: AnyRgbImage, profile: bytes, space: Space) -> AnyPlanes:
    """Convert sRGB to the space of a profile.

    Parameters
    ----------
    rgb : uint8 or uint16 array, shape (H, W, 3)
    profile : bytes
        Of `space`, which is RGB or CMYK.
    space : Space

    Returns
    -------
    array of the same dtype, shape (H, W, 3) or (H, W, 4)

    Raises
    ------
    OutputError
        If the profile converts in the other direction only.
    """
    channels = 4 if space is Space.CMYK else 3

    def convert(rows: slice) -> AnyPlanes:
        strip = np.ascontiguousarray(rgb[rows])
        return _transform(strip, SRGB, profile, Space.RGB, space, rgb.dtype)

    try:
        return map_row_strips(convert, (*rgb.shape[:2], channels), rgb.dtype, _STRIP_PIXELS)
    except InputError as error:
        raise OutputError(
            "its color profile cannot be written with", "use --icc srgb, which is the default"
        ) from error


def _map_into_gamut(rgb: FloatArray) -> FloatArray:
    """Map colors outside sRGB into it, shape (1, N, 3), as recoloring does with its own colors."""
    result: FloatArray = np.clip(rgb, 0, 1).astype(np.float32, copy=False)
    outside = np.abs(rgb - result).max(axis=-1) > _CLIPPED
    if outside.any():
        lab = rgb_to_lab_cie(rgb[outside][None])
        lightness = np.clip(lab[..., 0], 0, 100)
        chroma = clip_chroma(lightness, np.ascontiguousarray(lab[..., 1:]))
        result[outside] = lab_to_rgb_cie(lightness, chroma)[0]
    return result


def _transform(
    pixels: AnyPlanes,
    profile: bytes,
    target: bytes,
    space: str,
    target_space: str,
    dtype: np.dtype[Any],
) -> AnyPlanes:
    try:
        return imagecodecs.cms_transform(
            pixels,
            profile,
            target,
            colorspace=space.lower(),
            outcolorspace=target_space.lower(),
            outdtype=dtype,
            intent=imagecodecs.CMS.INTENT.PERCEPTUAL,
        )
    except (imagecodecs.CmsError, ValueError) as error:
        raise InputError("it is broken", "remove the profile") from error
