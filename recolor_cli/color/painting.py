"""Paint new color at full resolution: combine a picture's own lightness with new ab.

Pictures of 8 bits are painted in 16-bit integers. Lookup tables take bytes to linear light, linear
light to CIELAB's f(Y), f to X and Z, and linear light back to bytes; the matrix between is
OpenCV's. The result equals the CIE's formula (`color.lab.lab_to_rgb_cie`) to within one level of
255, in a fraction of the time that floats take. Colors outside sRGB appear as linear light below 0
or above 1. Only these pixels take the slow way through `color.gamut_mapping`.

Pictures of 16 bits are painted in floats by the CIE's formula.

References
----------
CIE 15:2004, section 8.2.1. IEC 61966-2-1:1999 (sRGB).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.blend import BlendMask
from recolor_cli.color.gamut_mapping import chroma_scale, clip_chroma
from recolor_cli.color.lab import (
    XYZ_TO_LINEAR_RGB,
    Y_SCALE,
    lab_f_inverse,
    lab_to_rgb16_cie,
    luminance_tables,
    relative_luminance,
    rgb_to_lightness,
)
from recolor_cli.color.letterbox import LazyUpsampled
from recolor_cli.color.row_strips import row_strips
from recolor_cli.color.srgb import linear_to_srgb
from recolor_cli.types import AnyPlanes, AnyRgbImage, FloatArray, RgbImage

_STRIP_PIXELS = 1 << 17  # the planes of a strip about fill a core's own cache


def paint(
    rgb: AnyRgbImage, ab: LazyUpsampled, out: AnyRgbImage, blend_mask: BlendMask | None = None
) -> None:
    """Give a picture new color and keep its lightness.

    Where sRGB lacks a color at that lightness, chroma is reduced.

    Parameters
    ----------
    rgb : uint8 or uint16 array, shape (H, W, 3), sRGB
    ab : LazyUpsampled
        Two planes of H x W, CIELAB units.
    out : array of the same shape and dtype
        Receives the result; it may be `rgb`.
    blend_mask : BlendMask or None
        How much of the picture's own color to keep.

    Raises
    ------
    ValueError
        If `out` has another shape or dtype.
    """
    if (out.shape, out.dtype) != (rgb.shape, rgb.dtype):
        raise ValueError(f"out must be {rgb.dtype} {rgb.shape}, not {out.dtype} {out.shape}")
    height, width = rgb.shape[:2]
    is_8_bit = rgb.dtype == np.uint8
    paint_rows = _paint_8_bit if is_8_bit else _paint_16_bit
    planes = _ab_to_f_offsets(ab) if is_8_bit else ab
    may_overflow = is_8_bit and bool(np.abs(ab.wide).max() > _MAX_AB / _MAX_OVERSHOOT)

    def paint_strip(rows: slice) -> None:
        before = rgb[rows].copy() if blend_mask else rgb[rows]
        strip = planes.rows(rows.start, rows.stop)
        paint_rows(before, _limit_f_offsets(strip) if may_overflow else strip, out[rows])
        if blend_mask:
            out[rows] = blend_mask.blend(before, out[rows], rows.start)

    strips = row_strips(height, width, _STRIP_PIXELS)
    # One picture may use as many threads as OpenCV may use for one operation.
    threads = min(cv2.getNumThreads(), len(strips) // 2)
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(paint_strip, strips))
    else:
        for rows in strips:
            paint_strip(rows)


def _paint_16_bit(rgb: AnyRgbImage, ab: FloatArray, out: AnyRgbImage) -> None:
    """Paint uint16 (h, w, 3) with ab, float32 (2, h, w)."""
    lightness = rgb_to_lightness(rgb)
    color = clip_chroma(lightness, np.ascontiguousarray(np.moveaxis(ab, 0, -1)))
    out[:] = lab_to_rgb16_cie(lightness, color)


def _paint_8_bit(rgb: RgbImage, f_offsets: FloatArray, out: RgbImage) -> None:
    """Paint uint8 (h, w, 3) with the result of `_ab_to_f_offsets`, float32 (2, h, w)."""
    tables = _tables()
    y = relative_luminance(rgb)
    f_y = cv2.LUT(y, tables.y_to_f)
    f_x, f_z = f_offsets.astype(np.uint16)  # truncates; the offsets contain the 1/2 of rounding
    for f in (f_x, f_z):
        cv2.add(f_y, f, f)
    linear = _f_to_linear_rgb(f_x, y, f_z, tables)
    flat = linear.reshape(len(linear), -1)  # OpenCV compares three channels ten times slower
    lowest, highest, _, _ = cv2.minMaxLoc(flat)
    if lowest < _DARKEST or highest > _BRIGHTEST:
        inside = cv2.inRange(flat, _DARKEST, _BRIGHTEST).reshape(linear.shape)
        # OpenCV's weighted mean of a pixel's channels is 255 only where all of them are.
        outside = np.flatnonzero(cv2.cvtColor(inside, cv2.COLOR_RGB2GRAY) != 255)
        y, f_y, f_x, f_z = (p.reshape(-1).take(outside)[None] for p in (y, f_y, f_x, f_z))
        mapped = _map_into_gamut(y, f_y, f_x, f_z, tables)
        pixel = np.dtype("V6")  # numpy puts a pixel in half the time of three numbers
        np.put(linear.reshape(-1).view(pixel), outside, mapped.reshape(-1).view(pixel))
    # OpenCV writes into the result itself if it can.
    level = cv2.LUT(linear, tables.linear_to_srgb, out if out.flags.c_contiguous else None)
    if level is not out:
        out[:] = level


def _map_into_gamut(
    y: AnyPlanes, f_y: AnyPlanes, f_x: AnyPlanes, f_z: AnyPlanes, tables: _Tables
) -> NDArray[np.uint16]:
    """Return the linear light of pixels (1, n) with chroma reduced to what sRGB can show."""
    a, b = ((f - f_y) - np.float32(_F_OFFSET_ZERO) for f in (f_x, f_z))
    lightness = f_y * np.float32(116 / _F_SCALE) - np.float32(16)
    scale = chroma_scale(lightness, a * np.float32(1 / _A_SCALE), b * np.float32(1 / _B_SCALE))
    f_x, f_z = (f_y + _round_f_offsets(plane * scale) for plane in (a, b))
    return _f_to_linear_rgb(f_x, y, f_z, tables)


# Scales and zeros of the 16-bit integers. f(X) and f(Z) are stored as f(Y) plus the offset that ab
# makes, with `_F_OFFSET_ZERO` as zero. Linear light has room below black and above white, so that
# colors outside sRGB can be told.
_F_SCALE = 20_000  # integers for 1 of f
_A_SCALE, _B_SCALE = _F_SCALE / 500, -_F_SCALE / 200  # integers of f for 1 ab unit
_MAX_AB = 200  # ab units; no color has more
_MAX_OVERSHOOT = 1.25  # largest factor by which upsampling can exceed the coarse values
_F_OFFSET_ZERO = round(1.01 * _MAX_AB / 200 * _F_SCALE)
_F_OFFSET_ROUNDING = np.float32(_F_OFFSET_ZERO + 0.5)  # truncation behind it rounds
_XZ_SCALE, _XZ_ZERO = 65_535 / 2.12, 0.02 * 65_535 / 2.12  # integers for 1 of X and Z; for 0
_LINEAR_SCALE, _LINEAR_ZERO = 40_000, 8_000  # integers for linear light of 1; for 0
# Linear light that is this little outside 0..1 is shown within one level of 255.
_DARKEST = round(_LINEAR_ZERO - 0.0003 * _LINEAR_SCALE)
_BRIGHTEST = round(_LINEAR_ZERO + 1.0088 * _LINEAR_SCALE)


def _ab_to_f_offsets(ab: LazyUpsampled) -> LazyUpsampled:
    """Convert ab to the offsets of f(X) and f(Z) from f(Y), in integers plus 1/2 for rounding."""
    wide = ab.wide * np.array([_A_SCALE, _B_SCALE], np.float32)[:, None, None]
    wide += _F_OFFSET_ROUNDING
    return replace(ab, wide=wide)


def _limit_f_offsets(rows: FloatArray) -> FloatArray:
    """Clamp offsets (2, h, w) to the range of uint16 along the hue ray.

    No display reaches the colors that this changes.
    """
    offsets = rows - _F_OFFSET_ROUNDING
    largest_ab = np.maximum(np.abs(offsets[0] / _A_SCALE), np.abs(offsets[1] / _B_SCALE))
    limited: FloatArray = offsets * (_MAX_AB / np.maximum(largest_ab, _MAX_AB)) + _F_OFFSET_ROUNDING
    return limited


def _round_f_offsets(offsets: FloatArray) -> NDArray[np.uint16]:
    """Round offsets from f(Y), float32, to the integers that are added to it."""
    return (offsets + _F_OFFSET_ROUNDING).astype(np.uint16)


def _f_to_linear_rgb(
    f_x: AnyPlanes, y: AnyPlanes, f_z: AnyPlanes, tables: _Tables
) -> NDArray[np.uint16]:
    """Convert f(X), Y and f(Z), (h, w), to linear sRGB, (h, w, 3), saturating; scales as above."""
    x, z = (cv2.LUT(f, tables.f_to_xz) for f in (f_x, f_z))
    xyz = cv2.merge((x, y, z))
    return cast(NDArray[np.uint16], cv2.transform(xyz, tables.xyz_to_linear_rgb))


class _Tables(NamedTuple):
    """Lookup tables of `_paint_8_bit`, of 65,536 entries each, and its matrix."""

    y_to_f: NDArray[np.uint16]
    f_to_xz: NDArray[np.uint16]  # f(X) to X, and f(Z) to Z
    linear_to_srgb: NDArray[np.uint8]
    xyz_to_linear_rgb: FloatArray  # (3, 4), affine


@cache
def _tables() -> _Tables:
    index = np.arange(65_536)
    xz = lab_f_inverse((index - _F_OFFSET_ZERO) / _F_SCALE) * _XZ_SCALE + _XZ_ZERO
    matrix = XYZ_TO_LINEAR_RGB * (_LINEAR_SCALE / np.array([_XZ_SCALE, Y_SCALE, _XZ_SCALE]))
    zeros = _LINEAR_ZERO - matrix @ [_XZ_ZERO, 0, _XZ_ZERO]
    level = linear_to_srgb(np.clip((index - _LINEAR_ZERO) / _LINEAR_SCALE, 0, 1))
    return _Tables(
        np.rint(luminance_tables().f * _F_SCALE).astype(np.uint16),
        np.rint(xz).clip(0, 65_535).astype(np.uint16),
        np.rint(255 * level).astype(np.uint8),
        np.column_stack((matrix, zeros)).astype(np.float32),
    )
