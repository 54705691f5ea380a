"""Color profiles: pixels of any space to sRGB and back, by LittleCMS, at 8 and at 16 bits.

imagecodecs' LittleCMS and not Pillow's: that one knows 8 bits alone. The intent is the perceptual
one, as in viewers.

References
----------
ICC.1:2022, section 7.2.6 (the space of a profile stands in bytes 16 to 19).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import ImageCms

from recolor_cli.color.gamut_mapping import clip_chroma
from recolor_cli.color.lab import lab_to_rgb_cie, rgb_to_lab_cie
from recolor_cli.errors import InputError, OutputError
from recolor_cli.types import AnyPlanes, AnyRgbImage, FloatArray

_STRIP_PIXELS = 1 << 20  # enough that building a transform does not count
_LAB = "lab"  # LittleCMS's name
_CLIPPED = 1 / 255  # beyond sRGB; so little is cut off, as mapping moves a color by more
_SAME = 2  # levels of 255: profiles that all call themselves sRGB differ by so much


class Space(StrEnum):
    """What the channels of a picture are; the value is the name in a profile."""

    GRAY = "GRAY"
    RGB = "RGB"
    CMYK = "CMYK"


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def space_of(profile: bytes) -> Space | None:
    """Return the space that a profile is of, or None if it is another or no profile."""
    name = profile[16:20].decode("latin-1").strip()
    return Space(name) if name in tuple(Space) else None


def profile_of(chromaticities: Sequence[float], curve: FloatArray) -> bytes:
    """Make a profile of RGB from what it means.

    Parameters
    ----------
    chromaticities : sequence of 8 floats
        CIE x and y of white, red, green and blue.
    curve : float32 array, shape (N,)
        Linear light, 0..1, of levels from 0 to 1.

    Raises
    ------
    InputError
        If these make no color space.
    """
    import imagecodecs

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
        raise InputError(f"its primaries make no profile: {error}", "remove them") from error


@lru_cache(64)
def is_srgb(profile: bytes) -> bool:
    """Tell whether a profile of RGB means sRGB, by what it does to colors.

    Raises
    ------
    InputError
        If the profile is broken.
    """
    axis = np.linspace(0, 255, 9).astype(np.uint8)
    colors = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, 3)
    result = _transform(colors, profile, SRGB, Space.RGB, Space.RGB, np.dtype(np.uint8))
    return int(np.abs(result.astype(int) - colors).max()) <= _SAME


def to_srgb(pixels: AnyPlanes, profile: bytes, space: Space) -> AnyRgbImage:
    """Convert pixels to sRGB; colors that sRGB lacks keep lightness and hue, and lose chroma.

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
    height, width = pixels.shape[:2]
    result = np.empty((height, width, 3), pixels.dtype)
    top = np.iinfo(pixels.dtype).max
    rows = max(1, _STRIP_PIXELS // width)
    for start in range(0, height, rows):
        strip = np.ascontiguousarray(pixels[start : start + rows])
        rgb = _transform(strip, profile, SRGB, space, Space.RGB, pixels.dtype)
        at_the_edge = ((rgb == 0) | (rgb == top)).any(axis=-1)
        at_the_edge &= rgb.min(axis=-1) != rgb.max(axis=-1)  # black and white are no trouble
        if at_the_edge.any():
            outside = np.ascontiguousarray(strip[at_the_edge][None])
            unbounded = _transform(outside, profile, SRGB, space, Space.RGB, np.dtype(np.float32))
            rgb[at_the_edge] = np.rint(_within_gamut(unbounded) * np.float32(top))[0]
        result[start : start + rows] = rgb
    return result


def lab_to_srgb(lab: FloatArray, top: int, is_d65: bool = False) -> FloatArray:
    """Convert CIELAB to levels of sRGB.

    Parameters
    ----------
    lab : float32 array, shape (H, W, 3)
    top : int
        The highest level.
    is_d65 : bool
        Whether it is relative to D65, as screens are, instead of D50, as print and profiles are.

    Returns
    -------
    float array, shape (H, W, 3)
        Whole numbers, 0..top; what sRGB lacks is mapped as in `to_srgb`.
    """
    import imagecodecs

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
        rgb = _within_gamut(rgb)
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
        If the profile works in the other direction only.
    """
    height, width = rgb.shape[:2]
    result = np.empty((height, width, 4 if space is Space.CMYK else 3), rgb.dtype)
    rows = max(1, _STRIP_PIXELS // width)
    try:
        for start in range(0, height, rows):
            strip = np.ascontiguousarray(rgb[start : start + rows])
            result[start : start + rows] = _transform(
                strip, SRGB, profile, Space.RGB, space, rgb.dtype
            )
    except InputError as error:
        raise OutputError(
            "its color profile cannot be written with", "use --icc srgb, which is the default"
        ) from error
    return result


def _within_gamut(rgb: FloatArray) -> FloatArray:
    """Map colors outside sRGB into it, shape (1, N, 3), as the recoloring does with its own."""
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
    import imagecodecs  # some hundred milliseconds, for pictures with such a profile only

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
        raise InputError(f"it is broken: {error}", "remove the profile") from error
