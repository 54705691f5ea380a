"""Compute the chroma planes of a frame from its luma plane and ab. Pure.

The luma plane keeps every sample value; only chroma is new. Keeping Y' is not quite the same as
keeping L*: a saturated blue of the same Y' is a little lighter than gray. Y' is kept because the
file stores it at full resolution, and because a plane that is never converted loses nothing.

References
----------
ITU-T H.273: coding-independent code points (section 8.3: matrix coefficients and range).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from recolor_cli.color.gamut_mapping import clip_chroma
from recolor_cli.color.lab import rgb_to_lab_cie
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.color.row_strips import row_strips
from recolor_cli.types import AnyPlanes, FloatArray

# Weights of red and blue in Y', by the number of the matrix in H.273, table 4.
_MATRICES = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
}
_HIGH_DEFINITION = 720  # lines; film without a declared matrix is BT.709 from this height on
_STRIP_PIXELS = 1 << 15  # the float planes of a strip fit into the processor's cache


def choose_matrix(declared: int, height: int) -> int:
    """Return the declared matrix if it is known, else the one that players guess.

    Parameters
    ----------
    declared : int
        Number in H.273; 2 is "unspecified".
    height : int
        Height of a frame, px.
    """
    return declared if declared in _MATRICES else (1 if height >= _HIGH_DEFINITION else 6)


@dataclass(frozen=True, slots=True)
class YuvCoding:
    """The meaning of the sample values in a film's luma and chroma planes.

    Parameters
    ----------
    bits : int
        Bits per sample, 8 to 16.
    full_range : bool
        Whether black and white are the extreme values (pc). Else they are 16 and 235 in 8 bits, and
        the same shares of more bits (tv).
    matrix : int
        A number that `choose_matrix` returns.
    """

    bits: int
    full_range: bool
    matrix: int

    @property
    def black(self) -> int:
        """Luma value of black."""
        return 0 if self.full_range else 16 << (self.bits - 8)

    @property
    def luma_levels(self) -> int:
        """Luma value of white, minus that of black."""
        return (1 << self.bits) - 1 if self.full_range else 219 << (self.bits - 8)

    @property
    def gray(self) -> int:
        """Chroma value of gray."""
        return 1 << (self.bits - 1)

    @property
    def chroma_levels(self) -> int:
        """Difference between the extreme chroma values."""
        return (1 << self.bits) - 1 if self.full_range else 224 << (self.bits - 8)

    def lightness(self, luma: AnyPlanes) -> FloatArray:
        """Return L* of grays with these luma values: float32, 0..100, of the same shape."""
        return _lightness_table(self)[luma]


@cache
def _lightness_table(coding: YuvCoding) -> FloatArray:
    """Return L* of every possible luma value."""
    values = np.arange(1 << coding.bits, dtype=np.float32)
    gray = np.clip((values - coding.black) / coding.luma_levels, 0, 1)
    lightness = rgb_to_lab_cie(np.repeat(gray[:, None], 3, axis=1).astype(np.float32))[:, 0]
    return np.ascontiguousarray(lightness)


def downsample_luma(
    luma: AnyPlanes, height: int, width: int, interlaced: bool = False
) -> AnyPlanes:
    """Downsample a luma plane to the size of a chroma plane.

    Parameters
    ----------
    luma : uint8 or uint16 array, shape (H, W)
    height, width : int
        Size of the result, px.
    interlaced : bool
        Whether odd and even lines show different moments. The two fields are then downsampled
        separately, if the height is halved.

    Returns
    -------
    array of the same dtype, shape (height, width)
    """
    if luma.shape == (height, width):
        return luma
    if not interlaced or luma.shape[0] == height or height % 2:
        return cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)
    result = np.empty((height, width), luma.dtype)
    for field in (0, 1):
        lines = np.ascontiguousarray(luma[field::2])
        result[field::2] = cv2.resize(lines, (width, height // 2), interpolation=cv2.INTER_AREA)
    return result


def compute_chroma(
    luma: AnyPlanes, ab: FloatArray, box: Letterbox, coding: YuvCoding
) -> tuple[AnyPlanes, AnyPlanes]:
    """Compute the planes Cb and Cr that give a luma plane the color ab.

    Where luma and color together leave the RGB cube, chroma is reduced until they fit.

    Parameters
    ----------
    luma : uint8 or uint16 array, shape (H, W)
        Luma at the resolution of the chroma planes.
    ab : float32 array, shape (h, w, 2)
        A network's prediction for the whole canvas, CIELAB units.
    box : Letterbox
        Position of the frame in the canvas; its source has the size (H, W).
    coding : YuvCoding

    Returns
    -------
    two arrays of the shape and dtype of `luma`

    Notes
    -----
    The color differences are those of the color that has the L* of the gray; they are added to Y'.
    An exact solution would search the L* at which the color has this Y'. For ab with a standard
    deviation of 10 (20) it differs by 0.06 (0.4) units on average, and one step of the search would
    add a third to the time.
    """
    kr, kb = _MATRICES[coding.matrix]
    weights = np.array([kr, 1 - kr - kb, kb], np.float32)
    differences = np.eye(3, dtype=np.float32) - weights  # rows: R - Y, G - Y, B - Y
    cb, cr = np.empty_like(luma), np.empty_like(luma)
    largest = (1 << coding.bits) - 1
    upsampled = box.upsample(ab)
    for strip in row_strips(luma.shape[0], luma.shape[1], _STRIP_PIXELS):
        lightness = coding.lightness(luma[strip])
        wanted = np.moveaxis(upsampled.rows(strip.start, strip.stop), 0, -1)
        color = clip_chroma(lightness, np.ascontiguousarray(wanted))
        rgb = cv2.cvtColor(np.dstack((lightness, color)), cv2.COLOR_Lab2RGB)
        red, green, blue = cv2.split(cv2.transform(rgb, differences))
        gray = (luma[strip].astype(np.float32) - coding.black) / np.float32(coding.luma_levels)
        gray = np.clip(gray, 0, 1)
        highest = cv2.max(cv2.max(red, green), blue)
        lowest = cv2.min(cv2.min(red, green), blue)
        tiny = np.float32(1e-6)
        share = np.minimum((1 - gray) / np.maximum(highest, tiny), gray / np.maximum(-lowest, tiny))
        share = np.minimum(share, 1) * np.float32(coding.chroma_levels)
        for plane, difference, extreme in ((cb, blue, 1 - kb), (cr, red, 1 - kr)):
            values = difference * share * np.float32(0.5 / extreme) + np.float32(coding.gray)
            plane[strip] = np.clip(np.rint(values), 0, largest)
    return cb, cr
