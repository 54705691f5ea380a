"""Gray, toned, partly gray or colored: what a picture's own colors say about it.

A black-and-white picture is seldom without color: prints are sepia or blue, paper yellows unevenly,
JPEG leaves traces. What they share is that color follows lightness and, slowly, place. So the
picture's ab is fitted by such a tone, robustly, and what is left is its color.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.lab import rgb_to_lab
from recolor_cli.types import AnyRgbImage, FloatArray

# The limits were chosen on 500 posters and photographs; tests/benchmarks/monochrome.py measures.
MOST_SPREAD = 7.0  # ab units that 98 % of a monochrome picture stay within, around its tone
_MOST_TONE = 50.0  # chroma of the strongest tone: prints in one loud color are colored
LEAST_SHARE = 0.15  # of a picture, to be one with gray parts
_NEUTRAL = 3.5  # chroma of gray parts; a colored picture's grays have more
_MIDDLE = (10.0, 92.0)  # L*: neither black nor paper, which colored pictures have, too

# From all new to all its own color, so that edges are smooth: ab units from the tone, or from gray.
_RAMP_OF_TONED = (10.0, 25.0)
_RAMP_OF_PARTS = (4.0, 10.0)

_SIDE = 256  # px, the longest side that is looked at
_CELL = 8  # px of it: what JPEG smears and noise changes is averaged over cells
_KNOTS = 9  # of the tone's curve over L*
_OPENING = 13  # px of `_SIDE`: smaller gray parts belong to what is around them
_SMOOTHING = 5  # px of the picture, over which a pixel's color is averaged
_STRIP_PIXELS = 1 << 16
_LEVELS = 1000  # of L*, that the tone is tabulated for


@dataclass(frozen=True, slots=True)
class Grayness:
    """Where a picture is gray.

    Parameters
    ----------
    spread : float
        ab units: 98 % of the picture are nearer to its tone.
    tone : float
        Chroma of the tone where it is strongest, CIELAB units.
    share : float
        Of the picture that lies in large gray parts, 0..1; black and white do not count.
    coefficients : float array, shape (knots + 5, 2)
        The tone: ab at each knot over L*, and its change over the picture.
    parts : uint8 array, shape (h, w)
        255 in large gray parts, 0 elsewhere, with soft borders, over the whole picture.
    """

    spread: float
    tone: float
    share: float
    coefficients: NDArray[np.float64] = field(repr=False)
    parts: NDArray[np.uint8] = field(repr=False)

    @property
    def is_monochrome(self) -> bool:
        """Whether the picture is black and white as a whole, toned or not."""
        return self.spread <= MOST_SPREAD and self.tone <= _MOST_TONE

    @property
    def has_gray_parts(self) -> bool:
        """Whether there is something gray to recolor: all of it, or large parts."""
        return self.is_monochrome or self.share >= LEAST_SHARE

    def weights(self, rgb: AnyRgbImage) -> NDArray[np.uint8]:
        """Return where the picture is gray, pixel for pixel.

        Parameters
        ----------
        rgb : uint8 or uint16 array, shape (H, W, 3)
            The picture that was looked at.

        Returns
        -------
        uint8 array, shape (H, W)
            255 where it is gray, 0 where it is colored, and something between where it is hardly
            colored. All 0 if it has no gray parts.
        """
        height, width = rgb.shape[:2]
        result = np.zeros((height, width), np.uint8)
        if not self.has_gray_parts:
            return result
        parts = cv2.resize(self.parts, (width, height), interpolation=cv2.INTER_LINEAR)
        rows, margin = max(1, _STRIP_PIXELS // width), _SMOOTHING  # smoothed twice
        for start in range(0, height, rows):
            stop = min(start + rows, height)
            above, below = min(margin, start), min(margin, height - stop)
            lab = rgb_to_lab(rgb[start - above : stop + below])
            color = lab[..., 1:]
            if self.is_monochrome:
                color = color - self._tone_of(lab[..., 0], start - above, height)
            near, far = _RAMP_OF_TONED if self.is_monochrome else _RAMP_OF_PARTS
            weight = _smooth_step((far - _chroma_around(color)) / (far - near))
            weight = _smoothed(weight)[above : above + stop - start]
            if not self.is_monochrome:
                weight *= parts[start:stop] * np.float32(1 / 255)
            result[start:stop] = np.rint(weight * 255)
        return result

    def _tone_of(self, lightness: FloatArray, top: int, of_height: int) -> FloatArray:
        """Return the tone's ab for some rows of a picture, shape (rows, W, 2)."""
        rows, width = lightness.shape
        y = _positions(of_height)[top : top + rows, None].astype(np.float32)
        x = _positions(width).astype(np.float32)
        knots = np.linspace(0, 100, _KNOTS)
        level = np.rint(lightness * np.float32(_LEVELS / 100)).astype(np.intp)
        tone = np.empty((rows, width, 2), np.float32)
        for channel in range(2):
            curve, place = np.split(self.coefficients[:, channel].astype(np.float32), [_KNOTS])
            table = np.interp(np.linspace(0, 100, _LEVELS + 1), knots, curve).astype(np.float32)
            tone[..., channel] = table.take(level, mode="clip") + y * (x * place[3])
            tone[..., channel] += x * (place[0] + x * place[2]) + y * (place[1] + y * place[4])
        return tone


def grayness(rgb: AnyRgbImage) -> Grayness:
    """Look at a picture's own colors.

    Parameters
    ----------
    rgb : uint8 or uint16 array, shape (H, W, 3)
        sRGB.

    Returns
    -------
    Grayness

    Notes
    -----
    The picture is reduced to 256 px. The tone is a piecewise linear curve of L* and a paraboloid of
    the place; both are averaged over cells of 8 px before they are fitted, as JPEG averages color,
    by least squares reweighted five times (Cauchy), so that a stamp or a red pen does not bend it.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    lab = rgb_to_lab(np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)))
    coefficients, distances, tones = _fitted(lab)
    neutral = (_chroma_around(lab[..., 1:]) < _NEUTRAL).astype(np.uint8)
    kernel = np.ones((_OPENING, _OPENING), np.uint8)
    large = cv2.morphologyEx(neutral, cv2.MORPH_OPEN, kernel)
    low, high = _MIDDLE
    middle = (lab[..., 0] > low) & (lab[..., 0] < high)
    # What the opening cut off their corners is given back, and the border made soft.
    grown = cv2.dilate(large, kernel[: _OPENING // 2 + 1, : _OPENING // 2 + 1])
    parts = cv2.GaussianBlur(grown * np.uint8(255), (0, 0), 2)
    return Grayness(
        spread=float(np.quantile(distances, 0.98)),
        tone=float(np.quantile(np.hypot(tones[:, 0], tones[:, 1]), 0.98)),
        share=float(((large > 0) & middle).mean()),
        coefficients=coefficients,
        parts=np.asarray(parts, np.uint8),
    )


def _fitted(
    lab: FloatArray,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit the tone: its coefficients, and each cell's distance from it and place on it."""
    height, width = lab.shape[:2]
    cells = max(1, width // _CELL), max(1, height // _CELL)
    level = lab[..., 0] * np.float32((_KNOTS - 1) / 100)
    hats = [np.maximum(0, 1 - np.abs(level - knot)) for knot in range(_KNOTS)]
    curve = np.stack([_averaged(hat, cells).ravel() for hat in hats], axis=1)
    place = _places(_positions(cells[1]), _positions(cells[0])).reshape(-1, 5)
    basis = np.concatenate((curve, place), axis=1).astype(np.float64)
    ab = _averaged(lab[..., 1:], cells).reshape(-1, 2).astype(np.float64)
    # A little of the ridge: lightness that the picture lacks has no tone.
    ridge = np.eye(basis.shape[1]) * (1e-3 * len(basis))
    weights = np.ones(len(basis))
    for _ in range(5):
        weighted = basis * weights[:, None]
        coefficients = np.linalg.solve(weighted.T @ basis + ridge, weighted.T @ ab)
        tones = basis @ coefficients
        distances = np.hypot(*(ab - tones).T)
        weights = 1 / (1 + np.square(distances / 3))
    return np.asarray(coefficients), distances, np.asarray(tones)


def _averaged(plane: FloatArray, size: tuple[int, int]) -> FloatArray:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def _positions(count: int) -> NDArray[np.float64]:
    """Return the centres of so many pixels or cells along a side that goes from -1 to 1."""
    return (2 * np.arange(count) + 1) / count - 1


def _places(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x, y, x^2, xy and y^2 of each place, shape (len(y), len(x), 5)."""
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    return np.stack((grid_x, grid_y, grid_x**2, grid_x * grid_y, grid_y**2), axis=-1)


def _chroma_around(ab: FloatArray) -> FloatArray:
    """Return the chroma of the mean color around each pixel: noise has next to none."""
    smooth = _smoothed(ab)
    return np.hypot(smooth[..., 0], smooth[..., 1])


def _smoothed(planes: FloatArray) -> FloatArray:
    size = (_SMOOTHING, _SMOOTHING)
    return np.asarray(cv2.blur(planes, size, borderType=cv2.BORDER_REPLICATE), np.float32)


def _smooth_step(value: FloatArray) -> FloatArray:
    """Return 0 up to 0 and 1 from 1 on, with no bend between."""
    inside = np.clip(value, 0, 1)
    return inside * inside * (3 - 2 * inside)
