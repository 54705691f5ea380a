"""Tell from a picture's own colors whether it is black and white, partly gray, or colored.

Black-and-white pictures are seldom without color: prints are sepia or blue, paper yellows unevenly,
and JPEG leaves traces. In all of these, color follows lightness and changes slowly over the
picture. So such a tone is fitted to the picture's ab, robustly, and the distance from the tone is
the picture's color.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.lab import rgb_to_lab_by_depth
from recolor_cli.color.resize import shrink_to_side
from recolor_cli.color.row_strips import map_row_strips
from recolor_cli.color.smoothstep import smoothstep
from recolor_cli.types import AnyRgbImage, FloatArray

# The limits were chosen on 500 posters and photographs; tests/benchmarks/monochrome.py measures.
MAX_SPREAD = 7.0  # ab units around the tone that 98 % of a monochrome picture stay within
_MAX_TONE_CHROMA = 50.0  # ab units; prints in one loud color count as colored
MIN_GRAY_SHARE = 0.15  # of the picture; less gray does not count as a gray part
_MAX_NEUTRAL_CHROMA = 3.5  # ab units; the grays of colored pictures have more
_MIDTONES = (10.0, 92.0)  # L*; black and paper are gray in colored pictures, too

# Chroma at which a pixel is wholly gray and wholly colored, ab units from the tone or from gray.
_TONED_RAMP = (10.0, 25.0)
_PARTS_RAMP = (4.0, 10.0)

_ANALYSIS_SIDE = 256  # px, the longest side of the copy that is analyzed
_CELL_SIDE = 8  # px of that copy; averaging over cells removes noise and JPEG's smear
_KNOTS = 9  # of the tone's curve over L*
_OPENING_SIDE = 13  # px of that copy; smaller gray parts belong to their surroundings
_BLUR_SIDE = 5  # px of the picture over which a pixel's color is averaged
_STRIP_PIXELS = 1 << 16
_TONE_LEVELS = 1000  # steps of L* in the table of the tone


@dataclass(frozen=True, slots=True)
class Grayness:
    """The tone and the gray parts of a picture.

    Parameters
    ----------
    spread : float
        98 % of the picture are nearer to its tone than this, ab units.
    tone_chroma : float
        Chroma of the tone where it is strongest, ab units.
    gray_share : float
        Share of the picture in large gray parts, 0..1. Black and white do not count.
    coefficients : float array, shape (knots + 5, 2)
        The tone: ab at each knot over L*, and its change over the picture.
    gray_parts : uint8 array, shape (h, w)
        A coarse map of the picture: 255 in large gray parts, 0 elsewhere, with soft borders.
    """

    spread: float
    tone_chroma: float
    gray_share: float
    coefficients: NDArray[np.float64] = field(repr=False)
    gray_parts: NDArray[np.uint8] = field(repr=False)

    @property
    def is_monochrome(self) -> bool:
        """Whether the picture is black and white as a whole, toned or not."""
        return self.spread <= MAX_SPREAD and self.tone_chroma <= _MAX_TONE_CHROMA

    @property
    def has_gray_parts(self) -> bool:
        """Whether the picture is gray as a whole or in large parts."""
        return self.is_monochrome or self.gray_share >= MIN_GRAY_SHARE

    def weights(self, rgb: AnyRgbImage) -> NDArray[np.uint8]:
        """Return how gray each pixel is.

        Parameters
        ----------
        rgb : uint8 or uint16 array, shape (H, W, 3)
            The picture that this was detected in.

        Returns
        -------
        uint8 array, shape (H, W)
            255 where it is gray, 0 where it is colored, and values between where it has little
            color. All 0 if it has no gray parts.
        """
        height, width = rgb.shape[:2]
        if not self.has_gray_parts:
            return np.zeros((height, width), np.uint8)
        parts = cv2.resize(self.gray_parts, (width, height), interpolation=cv2.INTER_LINEAR)

        def strip_weights(rows: slice) -> NDArray[np.uint8]:
            # Two blurs of `_BLUR_SIDE` px read the rows around the strip.
            top, bottom = max(0, rows.start - _BLUR_SIDE), min(height, rows.stop + _BLUR_SIDE)
            lab = rgb_to_lab_by_depth(rgb[top:bottom])
            color = lab[..., 1:]
            if self.is_monochrome:
                color = color - self._tone_of(lab[..., 0], top, height)
            near, far = _TONED_RAMP if self.is_monochrome else _PARTS_RAMP
            weight = smoothstep((far - _blurred_chroma(color)) / (far - near))
            weight = _blur(weight)[rows.start - top : rows.stop - top]
            if not self.is_monochrome:
                weight *= parts[rows] * np.float32(1 / 255)
            return np.rint(weight * 255).astype(np.uint8)

        return map_row_strips(strip_weights, (height, width), np.dtype(np.uint8), _STRIP_PIXELS)

    def _tone_of(self, lightness: FloatArray, first_row: int, height: int) -> FloatArray:
        """Return the tone's ab, shape (rows, W, 2), for some rows of a picture of this height."""
        rows, width = lightness.shape
        y = _centers(height)[first_row : first_row + rows, None].astype(np.float32)
        x = _centers(width).astype(np.float32)
        knots = np.linspace(0, 100, _KNOTS)
        level = np.rint(lightness * np.float32(_TONE_LEVELS / 100)).astype(np.intp)
        tone = np.empty((rows, width, 2), np.float32)
        for channel in range(2):
            curve, place = np.split(self.coefficients[:, channel].astype(np.float32), [_KNOTS])
            levels = np.linspace(0, 100, _TONE_LEVELS + 1)
            table = np.interp(levels, knots, curve).astype(np.float32)
            tone[..., channel] = table.take(level, mode="clip") + y * (x * place[3])
            tone[..., channel] += x * (place[0] + x * place[2]) + y * (place[1] + y * place[4])
        return tone


def detect_gray(rgb: AnyRgbImage) -> Grayness:
    """Fit a tone to a picture's own colors, and find its gray parts.

    Parameters
    ----------
    rgb : uint8 or uint16 array, shape (H, W, 3)
        sRGB.

    Notes
    -----
    The picture is shrunk to 256 px. The tone is a piecewise linear curve over L* plus a paraboloid
    over the place. Both are averaged over cells of 8 px before the fit, as JPEG averages color.
    The fit is least squares, reweighted five times (Cauchy), so that a stamp or a red pen does not
    bend it.
    """
    lab = rgb_to_lab_by_depth(shrink_to_side(rgb, _ANALYSIS_SIDE))
    coefficients, distances, tones = _fit_tone(lab)
    neutral = (_blurred_chroma(lab[..., 1:]) < _MAX_NEUTRAL_CHROMA).astype(np.uint8)
    kernel = np.ones((_OPENING_SIDE, _OPENING_SIDE), np.uint8)
    large = cv2.morphologyEx(neutral, cv2.MORPH_OPEN, kernel)
    low, high = _MIDTONES
    midtones = (lab[..., 0] > low) & (lab[..., 0] < high)
    # The dilation restores the corners that the opening cut off; the blur softens the border.
    grown = cv2.dilate(large, kernel[: _OPENING_SIDE // 2 + 1, : _OPENING_SIDE // 2 + 1])
    parts = cv2.GaussianBlur(grown * np.uint8(255), (0, 0), 2)
    return Grayness(
        spread=float(np.quantile(distances, 0.98)),
        tone_chroma=float(np.quantile(np.hypot(tones[:, 0], tones[:, 1]), 0.98)),
        gray_share=float(((large > 0) & midtones).mean()),
        coefficients=coefficients,
        gray_parts=np.asarray(parts, np.uint8),
    )


def _fit_tone(
    lab: FloatArray,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit the tone; return its coefficients, and each cell's distance from it and ab of it."""
    height, width = lab.shape[:2]
    cells = max(1, width // _CELL_SIDE), max(1, height // _CELL_SIDE)
    level = lab[..., 0] * np.float32((_KNOTS - 1) / 100)
    hats = [np.maximum(0, 1 - np.abs(level - knot)) for knot in range(_KNOTS)]
    curve = np.stack([_average(hat, cells).ravel() for hat in hats], axis=1)
    place = _paraboloid_terms(_centers(cells[1]), _centers(cells[0])).reshape(-1, 5)
    basis = np.concatenate((curve, place), axis=1).astype(np.float64)
    ab = _average(lab[..., 1:], cells).reshape(-1, 2).astype(np.float64)
    # The ridge makes the system solvable where a picture lacks some lightness.
    ridge = np.eye(basis.shape[1]) * (1e-3 * len(basis))
    weights = np.ones(len(basis))
    for _ in range(5):
        weighted = basis * weights[:, None]
        coefficients = np.linalg.solve(weighted.T @ basis + ridge, weighted.T @ ab)
        tones = basis @ coefficients
        distances = np.hypot(*(ab - tones).T)
        weights = 1 / (1 + np.square(distances / 3))
    return np.asarray(coefficients), distances, np.asarray(tones)


def _average(plane: FloatArray, size: tuple[int, int]) -> FloatArray:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def _centers(count: int) -> NDArray[np.float64]:
    """Return the centres of `count` pixels or cells along a side that goes from -1 to 1."""
    return (2 * np.arange(count) + 1) / count - 1


def _paraboloid_terms(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x, y, x^2, xy and y^2 at each place, shape (len(y), len(x), 5)."""
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    return np.stack((grid_x, grid_y, grid_x**2, grid_x * grid_y, grid_y**2), axis=-1)


def _blurred_chroma(ab: FloatArray) -> FloatArray:
    """Return the chroma of the mean color around each pixel, which has next to no noise."""
    blurred = _blur(ab)
    return np.hypot(blurred[..., 0], blurred[..., 1])


def _blur(planes: FloatArray) -> FloatArray:
    size = (_BLUR_SIDE, _BLUR_SIDE)
    return np.asarray(cv2.blur(planes, size, borderType=cv2.BORDER_REPLICATE), np.float32)
