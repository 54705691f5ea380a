"""Pixels of TIFF pages of all kinds: 1 to 16 bits, floating point, palettes, CMYK, CIELAB.

References
----------
TIFF 6.0, section 23, and technical note 4 (Adobe 1995) for CIELAB; ICC.1:2001-04, annex A, for
CIELAB as ICC encodes it.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from tifffile import EXTRASAMPLE, PHOTOMETRIC, TiffPage

from recolor_cli.color.row_strips import map_row_strips
from recolor_cli.errors import InputError
from recolor_cli.image.color_profiles import Space, lab_to_srgb
from recolor_cli.image.failures import damage_error
from recolor_cli.image.levels import stretch
from recolor_cli.image.pillow_codec import Pixels
from recolor_cli.types import AnyPlanes

LAB = (PHOTOMETRIC.CIELAB, PHOTOMETRIC.ICCLAB)
_CHANNELS: dict[int, tuple[Space, int]] = {
    PHOTOMETRIC.MINISWHITE: (Space.GRAY, 1),
    PHOTOMETRIC.MINISBLACK: (Space.GRAY, 1),
    PHOTOMETRIC.RGB: (Space.RGB, 3),
    PHOTOMETRIC.YCBCR: (Space.RGB, 3),
    PHOTOMETRIC.PALETTE: (Space.RGB, 1),
    PHOTOMETRIC.SEPARATED: (Space.CMYK, 4),
    PHOTOMETRIC.CIELAB: (Space.RGB, 3),
    PHOTOMETRIC.ICCLAB: (Space.RGB, 3),
}
_OPACITY = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)
_WHITE_POINT, _EXTRA_SAMPLES = 318, 338
# How far floating-point levels may leave 0..1, as scanners' sharpening makes them.
_FLOAT_SLACK = 0.5


def channels_of(page: TiffPage) -> tuple[Space, int]:
    """Return what the channels of a page are, and how many.

    Raises
    ------
    InputError
        If the page is of a kind that cannot be read.
    """
    kind = _CHANNELS.get(int(page.photometric))
    is_lab = page.photometric in LAB
    types: tuple[Any, ...] = (np.uint8, np.bool_, np.uint16)
    if is_lab:  # tifffile takes L* for signed because a* and b* are
        types = (np.uint8, np.int8, np.uint16, np.int16)
    is_float = page.dtype is not None and page.dtype.kind == "f"
    is_known = page.dtype in types or (is_float and not is_lab)
    if kind is None or page.dtype is None or not is_known or page.samplesperpixel < kind[1]:
        raise InputError(
            f"its pixels are {page.dtype or 'numbers'} of the kind "
            f"{getattr(page.photometric, 'name', page.photometric)}, which cannot be read",
            "convert it first: magick FILE -depth 16 -colorspace sRGB out.tif",
        )
    return kind


def pixels_of_levels(stored: NDArray[Any], page: TiffPage) -> tuple[Pixels, tuple[str, ...]]:
    """Convert the levels of a page, as `read_levels` returns them.

    Returns
    -------
    pixels : Pixels
        Up to 8 bits a channel become 0..255. 9 to 16 bits become 0..65535, and so does 0..1 of
        floating-point numbers. CIELAB becomes sRGB of as many bits, and so do palettes, of 8 bits.
        Opacity is no part of the colors. The arrays must not be written to.
    warnings : tuple of str

    Raises
    ------
    InputError
        As `channels_of`, and if levels are out of range.
    """
    space, channels = channels_of(page)
    photometric = page.photometric
    levels = _scale(stored, page)
    if photometric == PHOTOMETRIC.SEPARATED and levels.shape[2] == 3:
        space, channels = Space.RGB, 3  # libtiff converted it
    pixels, alpha, kind, unknown = _split_channels(levels, page, channels)
    top = int(np.iinfo(levels.dtype).max)
    if alpha is not None and kind == EXTRASAMPLE.ASSOCALPHA:
        pixels = _divide_by_alpha(pixels, alpha, top)
    if photometric == PHOTOMETRIC.MINISWHITE:
        pixels = top - pixels
    elif photometric == PHOTOMETRIC.PALETTE:
        pixels = _apply_palette(pixels[..., 0], page)
    elif photometric in LAB:
        pixels = _convert_lab(pixels, photometric == PHOTOMETRIC.ICCLAB, _is_d65(page))
    warnings: tuple[str, ...] = ()
    if unknown:
        count = "a channel is" if unknown == 1 else f"{unknown} channels are"
        they_mean = "it means" if unknown == 1 else "they mean"
        warnings = (f"{count} left out, because the file does not say what {they_mean}",)
    return (pixels[..., 0] if pixels.shape[2] == 1 else pixels, space, alpha), warnings


def _scale(levels: NDArray[Any], page: TiffPage) -> AnyPlanes:
    """Scale stored levels to all levels of 8 or 16 bits. Those of a palette stay numbers."""
    bits = int(np.max(page.bitspersample))
    if levels.dtype.kind == "f":
        return _scale_floats(levels)
    if page.photometric in LAB:
        return levels.view(np.uint8 if levels.itemsize == 1 else np.uint16)
    if levels.dtype == np.uint16:
        return stretch(levels, (1 << bits) - 1, np.uint16)
    is_scaled = bits == 8 or int(np.min(page.bitspersample)) != bits  # as tifffile does
    if is_scaled or page.photometric == PHOTOMETRIC.PALETTE:
        return levels
    return stretch(levels, (1 << bits) - 1, np.uint8)


def _split_channels(
    levels: AnyPlanes, page: TiffPage, channels: int
) -> tuple[AnyPlanes, AnyPlanes | None, int, int]:
    """Return colors, opacity if there is any, its kind, and how many channels are left."""
    kinds: list[int] = list(page.extrasamples)
    further = levels.shape[2] - channels
    if further == 1 and _EXTRA_SAMPLES not in page.tags:
        kinds = [EXTRASAMPLE.UNASSALPHA]  # old programs write opacity without saying so
    found = next((i for i, kind in enumerate(kinds) if kind in _OPACITY), None)
    if found is None or found >= further:
        return levels[..., :channels], None, EXTRASAMPLE.UNSPECIFIED, further
    return levels[..., :channels], levels[..., channels + found], kinds[found], further - 1


def _divide_by_alpha(pixels: AnyPlanes, alpha: AnyPlanes, top: int) -> AnyPlanes:
    """Return colors that were multiplied by their opacity as they were before."""

    def divide(rows: slice) -> AnyPlanes:
        opacity = np.maximum(alpha[rows], 1)[..., None].astype(np.float32) / top
        return np.rint(np.minimum(pixels[rows] / opacity, top))

    return map_row_strips(divide, pixels.shape, pixels.dtype)


def _apply_palette(numbers: AnyPlanes, page: TiffPage) -> NDArray[np.uint8]:
    """Return the colors of palette numbers, shape (H, W, 3)."""
    if page.colormap is None:
        raise damage_error("its palette is missing")
    colors: NDArray[Any] = np.asarray(page.colormap).T
    if colors.max() > 255:  # old programs write 8 bits
        colors = colors >> 8
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)] = colors[:256]
    return map_row_strips(
        lambda rows: table[numbers[rows]], (*numbers.shape, 3), np.dtype(np.uint8)
    )


def _scale_floats(levels: NDArray[Any]) -> AnyPlanes:
    """Scale floating-point levels, 0..1, to 0..65535."""
    lowest, highest = float(levels.min()), float(levels.max())
    if not (lowest >= -_FLOAT_SLACK and highest <= 1 + _FLOAT_SLACK):  # not a number fails, too
        raise InputError(
            f"its floating-point levels are {lowest:g} to {highest:g}, "
            "where 0 is black and 1 is white",
            "bring them there first: magick FILE -auto-level -depth 16 out.tif",
        )
    return map_row_strips(
        lambda rows: np.rint(np.clip(levels[rows], 0, 1) * np.float64(65535)),
        levels.shape,
        np.dtype(np.uint16),
    )


def _is_d65(page: TiffPage) -> bool:
    """Return whether a page's white is nearer to D65, x = 0.3127, than to D50, x = 0.3457."""
    white = page.tags.get(_WHITE_POINT)
    return white is not None and white.value[0] < 0.33 * white.value[1]


def _convert_lab(levels: AnyPlanes, is_icc: bool, is_d65: bool) -> AnyPlanes:
    """Convert CIELAB as it is stored to sRGB of as many bits.

    TIFF's own encoding has all levels for L*, and signed a* and b*, of 16 bits in 1/256. In that of
    ICC, a* and b* begin at -128, and of 16 bits an L* of 100 is 65280.
    """
    top = int(np.iinfo(levels.dtype).max)
    step = 1.0 if levels.itemsize == 1 else 256.0
    white = 65280.0 if is_icc and levels.itemsize == 2 else float(top)
    signed = np.int8 if levels.itemsize == 1 else np.int16

    def convert(rows: slice) -> AnyPlanes:
        lab = np.empty(levels[rows].shape, np.float32)
        lab[..., 0] = levels[rows, :, 0] * np.float32(100 / white)
        ab = np.ascontiguousarray(levels[rows, :, 1:])
        if is_icc:
            lab[..., 1:] = ab.astype(np.float32) / step - 128
        else:
            lab[..., 1:] = ab.view(signed).astype(np.float32) / step
        return cast(AnyPlanes, lab_to_srgb(lab, top, is_d65))

    return map_row_strips(convert, levels.shape, levels.dtype)
