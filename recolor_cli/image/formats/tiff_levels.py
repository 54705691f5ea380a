"""Pixels of TIFF pages that Pillow does not read: more than 8 bits, floating point, CIELAB.

References
----------
TIFF 6.0, section 23, and technical note 4 (Adobe 1995) for CIELAB; ICC.1:2001-04, annex A, for
CIELAB as ICC encodes it.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import tifffile
from numpy.typing import NDArray

from recolor_cli.color.row_strips import map_row_strips
from recolor_cli.errors import InputError
from recolor_cli.image.color_profiles import Space, lab_to_srgb
from recolor_cli.image.levels import stretch_to_16_bits
from recolor_cli.image.pillow_codec import Pixels
from recolor_cli.types import AnyPlanes

_WHITE_IS_ZERO, _BLACK_IS_ZERO, RGB, _SEPARATED, CIELAB, ICCLAB = 0, 1, 2, 5, 8, 9
_CHANNELS = {
    _WHITE_IS_ZERO: (Space.GRAY, 1),
    _BLACK_IS_ZERO: (Space.GRAY, 1),
    RGB: (Space.RGB, 3),
    _SEPARATED: (Space.CMYK, 4),
    CIELAB: (Space.RGB, 3),
    ICCLAB: (Space.RGB, 3),
}
_PREMULTIPLIED, _ALPHA = 1, 2
_WHITE_POINT = 318
_FLOAT_SLACK = (
    0.5  # how far floating-point levels may leave 0..1, as scanners' sharpening makes them
)


def decode_levels(data: bytes, page: tifffile.TiffPage) -> Pixels:
    """Return the pixels of a page, what they are, and opacity if there is any.

    9 to 16 bits become 0..65535, and so does 0..1 of floating-point numbers. CIELAB becomes sRGB of
    as many bits. RGB of 8 bits stays as it is. Gray pixels may lie in `data` itself: they must not
    be written to.

    Raises
    ------
    InputError
        If they are of a kind that cannot be read.
    Exception
        Whatever a broken file leads the decoder to.
    """
    is_lab = page.photometric in (CIELAB, ICCLAB)
    is_float = page.dtype is not None and page.dtype.kind == "f"
    bits = int(np.max(page.bitspersample))
    space, channels = _check_kind(page, is_lab, is_float, bits)
    levels = _stored_levels(data, page, channels)
    if is_float:
        levels = _scale_floats(levels)
    elif is_lab:
        levels = levels.view(np.uint8 if levels.itemsize == 1 else np.uint16)
    elif bits > 8:
        levels = stretch_to_16_bits(levels, bits)
    pixels, alpha = levels[..., :channels], None
    extra = int(page.extrasamples[0]) if page.extrasamples else 0
    if extra in (_PREMULTIPLIED, _ALPHA) and levels.shape[-1] > channels:
        alpha = levels[..., channels]
    if page.photometric == _WHITE_IS_ZERO:
        pixels = 65535 - pixels
    if is_lab:
        pixels = _convert_lab(pixels, int(page.photometric), _is_d65(page))
    elif alpha is not None and extra == _PREMULTIPLIED:
        opacity = np.maximum(alpha, 1)[..., None].astype(np.float32) / 65535
        pixels = np.rint(np.minimum(pixels / opacity, 65535)).astype(np.uint16)
    return (pixels[..., 0] if channels == 1 else pixels), space, alpha


def _check_kind(
    page: tifffile.TiffPage, is_lab: bool, is_float: bool, bits: int
) -> tuple[Space, int]:
    """Return what the channels are and how many; raises `InputError` for unknown kinds."""
    kind = _CHANNELS.get(int(page.photometric))
    types: tuple[Any, ...] = (np.uint16,) if bits > 8 else (np.uint8,)
    if is_lab:  # tifffile takes L* for signed because a* and b* are
        types = (np.uint8, np.int8, np.uint16, np.int16)
    is_known = page.dtype in types or (is_float and not is_lab)
    if kind is None or page.dtype is None or not is_known or page.samplesperpixel < kind[1]:
        raise InputError(
            f"its pixels are {page.dtype or 'numbers'} of the kind "
            f"{getattr(page.photometric, 'name', page.photometric)}, which cannot be read",
            "convert it first: magick FILE -depth 16 -colorspace sRGB out.tif",
        )
    return kind


def _stored_levels(data: bytes, page: tifffile.TiffPage, channels: int) -> NDArray[Any]:
    """Return the levels as stored, shape (H, W, C). Uncompressed gray is not copied."""
    shape = (page.imagelength, page.imagewidth)
    dtype = cast("np.dtype[Any]", page.dtype)
    is_native = dtype.newbyteorder(page.parent.byteorder).isnative
    if channels == 1 and page.is_contiguous and is_native:
        count = shape[0] * shape[1] * page.samplesperpixel
        levels: NDArray[Any] = np.frombuffer(data, dtype, count, page.dataoffsets[0])
    else:
        levels = np.asarray(page.asarray(maxworkers=1))
    if page.planarconfig == 2 and levels.ndim == 3:
        levels = np.moveaxis(levels, 0, -1)
    return levels.reshape(*shape, -1)


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


def _is_d65(page: tifffile.TiffPage) -> bool:
    """Return whether a page's white is nearer to D65, x = 0.3127, than to D50, x = 0.3457."""
    white = page.tags.get(_WHITE_POINT)
    return white is not None and white.value[0] < 0.33 * white.value[1]


def _convert_lab(levels: AnyPlanes, photometric: int, is_d65: bool) -> AnyPlanes:
    """Convert CIELAB as it is stored to sRGB of as many bits.

    TIFF's own encoding has all levels for L*, and signed a* and b*, of 16 bits in 1/256. In that of
    ICC, a* and b* begin at -128, and of 16 bits an L* of 100 is 65280.
    """
    top = int(np.iinfo(levels.dtype).max)
    step = 1.0 if levels.itemsize == 1 else 256.0
    white = 65280.0 if photometric == ICCLAB and levels.itemsize == 2 else float(top)
    signed = np.int8 if levels.itemsize == 1 else np.int16

    def convert(rows: slice) -> AnyPlanes:
        lab = np.empty(levels[rows].shape, np.float32)
        lab[..., 0] = levels[rows, :, 0] * np.float32(100 / white)
        ab = np.ascontiguousarray(levels[rows, :, 1:])
        if photometric == ICCLAB:
            lab[..., 1:] = ab.astype(np.float32) / step - 128
        else:
            lab[..., 1:] = ab.view(signed).astype(np.float32) / step
        return cast(AnyPlanes, lab_to_srgb(lab, top, is_d65))

    return map_row_strips(convert, levels.shape, levels.dtype)
