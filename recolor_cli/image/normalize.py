"""Stored pixels to upright sRGB with the bits that the target format holds."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import cv2
import numpy as np

from recolor_cli.color.row_strips import map_row_strips
from recolor_cli.errors import InputError
from recolor_cli.image import color_profiles, exif
from recolor_cli.image.attachments import remove_claims, say_left_out
from recolor_cli.image.codec import Codec, StoredPage
from recolor_cli.image.color_profiles import Space
from recolor_cli.image.decoded_image import DecodedImage
from recolor_cli.image.levels import reduce_to_8_bits
from recolor_cli.image.metadata import Metadata
from recolor_cli.types import AnyPlanes, AnyRgbImage


def normalize(page: StoredPage, source: Codec, target: Codec) -> DecodedImage:
    """Convert a page to sRGB by its profile, and turn it upright.

    What the target does not hold is left out, with a warning: 16 bits, metadata, attachments such
    as gain maps, and transparency when it is encoded.
    """
    warnings = []
    metadata, lost = _fit_metadata(page, target)
    warnings += lost
    if page.orientation in exif.ON_ITS_SIDE:
        metadata = _turn_resolution(metadata)
    alpha = page.alpha
    rgb: AnyRgbImage | None = None
    foreign_profile = b""
    if page.profile:
        try:
            rgb, is_srgb = _convert_by_profile(page)
            metadata = replace(
                metadata, icc_profile=page.profile if is_srgb else color_profiles.SRGB
            )
            foreign_profile = b"" if is_srgb else page.profile
        except InputError as error:
            warnings.append(
                f"its color profile cannot be used, it is read as sRGB: {error.message}"
            )
    elif page.space is Space.CMYK:
        warnings.append("it is CMYK without a profile, and is converted to RGB by rule of thumb")
    if rgb is None:
        rgb = (
            naive_cmyk_to_rgb(page.pixels) if page.space is Space.CMYK else expand_gray(page.pixels)
        )
    if rgb.dtype == np.uint16 and not target.holds_16_bits:
        warnings.append(f"its levels are reduced to 8 bits, as {target.format} holds no more")
        rgb, alpha = reduce_to_8_bits(rgb), None if alpha is None else reduce_to_8_bits(alpha)
    if alpha is not None and not target.holds_transparency:
        warnings.append(f"its transparency lies on white, as {target.format} holds none")
    return DecodedImage(
        _turn(rgb, page.orientation),
        None if alpha is None else _turn(alpha, page.orientation),
        source.format,
        metadata,
        (*warnings, *page.warnings),
        foreign_profile,
        page.lossless,
        page.pages,
        page.animation,
        page.milliseconds,
        page.damage,
        page.is_hidden,
    )


def _fit_metadata(page: StoredPage, target: Codec) -> tuple[Metadata, list[str]]:
    """Return the metadata that a result may have, and warnings of what is left out."""
    xmp, names = remove_claims(page.metadata.xmp)
    metadata, warnings = target.fit_metadata(replace(page.metadata, xmp=xmp))
    left_out = say_left_out([*names, *page.attachments])
    return metadata, [*([left_out] if left_out else []), *warnings]


def _turn_resolution(metadata: Metadata) -> Metadata:
    """Exchange the resolutions across and down."""
    block, dpi = metadata.exif, metadata.dpi
    return replace(
        metadata, exif=block and exif.swap_resolution(block), dpi=dpi and (dpi[1], dpi[0])
    )


def naive_cmyk_to_rgb(cmyk: AnyPlanes) -> AnyRgbImage:
    """Convert CMYK that has no profile, shape (H, W, 4): each ink takes away its share of light."""
    top = int(np.iinfo(cmyk.dtype).max)

    def convert(rows: slice) -> AnyPlanes:
        ink = cmyk[rows].astype(np.float32) / top
        return np.rint((1 - ink[..., :3]) * (1 - ink[..., 3:]) * top)

    return map_row_strips(convert, (*cmyk.shape[:2], 3), cmyk.dtype)


def _convert_by_profile(page: StoredPage) -> tuple[AnyRgbImage, bool]:
    """Return a page in sRGB, and whether its profile is sRGB already.

    Raises
    ------
    InputError
        If the profile is broken, or of another space.
    """
    pixels, space = page.pixels, page.space
    profile_space = color_profiles.space_of(page.profile)
    if space is Space.GRAY and profile_space is Space.RGB:
        pixels, space = expand_gray(pixels), Space.RGB
    if profile_space is not space:
        raise InputError("it is of another kind of color")
    if space is Space.RGB and color_profiles.is_srgb(page.profile):
        return pixels, True
    return color_profiles.to_srgb(pixels, page.profile, space), False


def expand_gray(pixels: AnyPlanes) -> AnyRgbImage:
    """Return gray as RGB, and RGB as it is."""
    if pixels.ndim != 2:
        return pixels
    # OpenCV takes a tenth of NumPy's time. It copies non-contiguous arrays, therefore the strips.
    return map_row_strips(
        lambda rows: cast(AnyPlanes, cv2.merge([pixels[rows]] * 3)),
        (*pixels.shape, 3),
        pixels.dtype,
    )


def _turn(plane: AnyPlanes, orientation: int) -> AnyPlanes:
    """Turn pixels upright. The orientation is EXIF's, 1..8; others are ignored."""
    if orientation not in range(2, 9):
        return plane
    if orientation in exif.ON_ITS_SIDE:
        plane = plane.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(plane[rows, columns])
