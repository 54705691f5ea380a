"""New color at full resolution: a picture's own lightness and new ab, back to sRGB.

Pictures of 8 bits are painted in integers of 16 bits: a byte to linear light, light to CIELAB's
f(Y), f to XYZ and light back to a byte are each one look in a table, and the matrix between is
OpenCV's. That is the closed formula (`color.lab.lab_to_rgb_cie`) to within one level of 255, in a
fraction of the time that floats take. Colors that sRGB does not reach show as linear light below 0
or above 1; only these go the long way through `recolor_cli.color.gamut.clip_chroma`.

Pictures of 16 bits are painted in floats, by the closed formula.

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
from recolor_cli.color.gamut import chroma_scale, clip_chroma
from recolor_cli.color.lab import (
    RGB_OF_XYZ,
    Y_SCALE,
    lab_f_inverse,
    lab_to_rgb16,
    linear_to_srgb,
    luminance_tables,
    relative_luminance,
    rgb_to_lightness,
)
from recolor_cli.color.letterbox import LazyUpsampled
from recolor_cli.types import AnyPlanes, AnyRgbImage, FloatArray, RgbImage

_STRIP_PIXELS = 1 << 17  # a strip's planes about fill a core's own cache


def paint(
    rgb: AnyRgbImage, ab: LazyUpsampled, out: AnyRgbImage, own: BlendMask | None = None
) -> None:
    """Give a picture new color; its lightness stays, chroma gives way where sRGB has no such color.

    Parameters
    ----------
    rgb : uint8 or uint16 array, shape (H, W, 3), sRGB
    ab : Enlarged
        Two planes of H x W, CIELAB units.
    out : array of the same shape and dtype
        Where to put the result; it may be `rgb`.
    own : OwnColor or None
        What stays of the picture's own color.
    """
    height, width = rgb.shape[:2]
    paint_rows = _paint_deep if rgb.dtype == np.uint16 else _paint_bytes
    rows = max(1, _STRIP_PIXELS // width)
    in_bytes = rgb.dtype == np.uint8
    shown = _in_f(ab) if in_bytes else ab
    is_wild = in_bytes and bool(np.abs(ab.wide).max() > _MOST_AB / 1.25)

    def paint_strip(start: int) -> None:
        stop = min(start + rows, height)
        before = rgb[start:stop].copy() if own else rgb[start:stop]
        shifts = shown.rows(start, stop)
        paint_rows(before, _cut(shifts) if is_wild else shifts, out[start:stop])
        if own:
            out[start:stop] = own.keep(before, out[start:stop], start)

    strips = range(0, height, rows)  # never several float copies of the whole
    # What OpenCV may take for one operation, one picture may take here.
    threads = min(cv2.getNumThreads(), len(strips) // 2)
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(paint_strip, strips))
    else:
        for start in strips:
            paint_strip(start)


def _paint_deep(rgb: AnyRgbImage, ab: FloatArray, out: AnyRgbImage) -> None:
    lightness = rgb_to_lightness(rgb)
    color = clip_chroma(lightness, np.ascontiguousarray(np.moveaxis(ab, 0, -1)))
    out[:] = lab_to_rgb16(lightness, color)


def _paint_bytes(rgb: RgbImage, ab: FloatArray, out: RgbImage) -> None:
    """Paint uint8 (h, w, 3) with what `_in_f` makes of ab, float32 (2, h, w)."""
    tables = _tables()
    y = relative_luminance(rgb)
    f = cv2.LUT(y, tables.f_of_y)
    f_x, f_z = ab.astype(np.uint16)
    for of_ab in (f_x, f_z):
        cv2.add(f, of_ab, of_ab)
    light = _light(f_x, y, f_z, tables)
    flat = light.reshape(len(light), -1)  # comparing three channels would take OpenCV ten times
    least, most, _, _ = cv2.minMaxLoc(flat)
    if least < _DARKEST or most > _BRIGHTEST:
        inside = cv2.inRange(flat, _DARKEST, _BRIGHTEST).reshape(light.shape)
        # The mean of a pixel's three, as OpenCV weighs them, is 255 only where all of them are.
        index = np.flatnonzero(cv2.cvtColor(inside, cv2.COLOR_RGB2GRAY) != 255)
        y, f, f_x, f_z = (plane.reshape(-1).take(index)[None] for plane in (y, f, f_x, f_z))
        a, b = ((plane - f) - np.float32(_SHIFT_ZERO) for plane in (f_x, f_z))
        lightness = f * np.float32(116 / _F_UNITS) - np.float32(16)
        scale = chroma_scale(lightness, a * np.float32(1 / _A_UNITS), b * np.float32(1 / _B_UNITS))
        f_x, f_z = (f + _shift(plane * scale) for plane in (a, b))
        pixel = np.dtype("V6")  # numpy puts a pixel in half the time of three numbers
        few = _light(f_x, y, f_z, tables).reshape(-1).view(pixel)
        np.put(light.reshape(-1).view(pixel), index, few)
    # Where OpenCV can, it writes into the result itself.
    level = cv2.LUT(light, tables.linear_to_srgb, out if out.flags.c_contiguous else None)
    if level is not out:
        out[:] = level


# Units of the integers. f(X) and f(Z) are kept as what ab adds to f(Y), and this with a zero in the
# middle. Linear light has room below black and above white, so that a color that sRGB lacks can be
# told.
_F_UNITS = 20_000
_A_UNITS, _B_UNITS = _F_UNITS / 500, -_F_UNITS / 200
_MOST_AB = 200  # ab units, beyond all colors; to enlarge can make a quarter more of what it was
_SHIFT_ZERO = round(1.01 * _MOST_AB / 200 * _F_UNITS)
_TO_ROUND = np.float32(_SHIFT_ZERO + 0.5)  # what is added is rounded by cutting it to an integer
_XZ_UNITS, _XZ_ZERO = 65_535 / 2.12, 0.02 * 65_535 / 2.12
_LIGHT_UNITS, _LIGHT_ZERO = 40_000, 8_000
# How far linear light may lie outside and still be shown within a level of 255.
_DARKEST = round(_LIGHT_ZERO - 0.0003 * _LIGHT_UNITS)
_BRIGHTEST = round(_LIGHT_ZERO + 1.0088 * _LIGHT_UNITS)


def _in_f(ab: LazyUpsampled) -> LazyUpsampled:
    """Return what ab adds to f(Y) for f(X) and f(Z), so that it need only be cut to integers."""
    wide = ab.wide * np.array([_A_UNITS, _B_UNITS], np.float32)[:, None, None]
    wide += _TO_ROUND
    return replace(ab, wide=wide)


def _cut(rows: FloatArray) -> FloatArray:
    """Keep rows of that within what the integers take; the hue stays, and no screen has more."""
    shift = rows - _TO_ROUND
    largest = np.maximum(np.abs(shift[0] / _A_UNITS), np.abs(shift[1] / _B_UNITS))
    kept: FloatArray = shift * (_MOST_AB / np.maximum(largest, _MOST_AB)) + _TO_ROUND
    return kept


def _shift(values: FloatArray) -> NDArray[np.uint16]:
    """Round what is to be added to f(Y)."""
    return (values + _TO_ROUND).astype(np.uint16)


def _light(f_x: AnyPlanes, y: AnyPlanes, f_z: AnyPlanes, tables: _Tables) -> NDArray[np.uint16]:
    """Return linear sRGB, (h, w, 3), saturated, for f(X), Y and f(Z), (h, w); units as above."""
    x, z = (cv2.LUT(f, tables.xz_of_f) for f in (f_x, f_z))
    xyz = cv2.merge((x, y, z))
    return cast(NDArray[np.uint16], cv2.transform(xyz, tables.light_of_xyz))


class _Tables(NamedTuple):
    """What `_paint_bytes` looks up; 65,536 entries each."""

    f_of_y: NDArray[np.uint16]
    xz_of_f: NDArray[np.uint16]  # f(X) to X, and f(Z) to Z
    linear_to_srgb: NDArray[np.uint8]
    light_of_xyz: FloatArray  # (3, 4), affine


@cache
def _tables() -> _Tables:
    index = np.arange(65_536)
    xz = lab_f_inverse((index - _SHIFT_ZERO) / _F_UNITS) * _XZ_UNITS + _XZ_ZERO
    matrix = RGB_OF_XYZ * (_LIGHT_UNITS / np.array([_XZ_UNITS, Y_SCALE, _XZ_UNITS]))
    offset = _LIGHT_ZERO - matrix @ [_XZ_ZERO, 0, _XZ_ZERO]
    level = linear_to_srgb(np.clip((index - _LIGHT_ZERO) / _LIGHT_UNITS, 0, 1))
    return _Tables(
        np.rint(luminance_tables().f * _F_UNITS).astype(np.uint16),
        np.rint(xz).clip(0, 65_535).astype(np.uint16),
        np.rint(255 * level).astype(np.uint8),
        np.column_stack((matrix, offset)).astype(np.float32),
    )
