"""The ab plane as a color screen can show it: its 394 bins, and how far chroma may go.

References
----------
[Zhang2016] Zhang, Isola, Efros: Colorful image colorization, ECCV 2016 (313 bins, grid step 10).
[Meistrenko] Meistrenko: Automatic recolorization of movie posters, Stanford (394 bins, step 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.lab import RGB_OF_XYZ, lab_f_inverse, rgb_to_lab_cv2
from recolor_cli.types import FloatArray

GRID_STEP = 8  # ab units; a cell with centre c covers c - 4 .. c + 4
LEFT_OUT = (-88, 72)  # reached by about 300 of 16.7 million sRGB colors; [Meistrenko] has it not

# For each a: the lowest and the highest b that sRGB reaches, in steps of 8. Rounding every 8-bit
# sRGB color to the grid gives these cells and LEFT_OUT; a slow test derives them anew.
_ROWS = {
    -88: (80, 80), -80: (48, 88), -72: (24, 88), -64: (8, 88), -56: (-8, 88), -48: (-16, 88),
    -40: (-24, 88), -32: (-32, 96), -24: (-40, 96), -16: (-48, 96), -8: (-56, 88), 0: (-56, 88),
    8: (-64, 88), 16: (-72, 80), 24: (-80, 80), 32: (-80, 80), 40: (-88, 72), 48: (-96, 72),
    56: (-96, 72), 64: (-104, 72), 72: (-104, 72), 80: (-104, 64), 88: (-88, 8), 96: (-72, -40),
}  # fmt: skip


@dataclass(frozen=True)
class AbBins:
    """The classes of a classification network: centres of cells in the ab plane.

    Parameters
    ----------
    centers : float32 array, shape (Q, 2)
        a and b, CIELAB units, in the order of the network's channels.

    Raises
    ------
    ValueError
        If the shape is not (Q, 2).
    """

    centers: FloatArray

    def __post_init__(self) -> None:
        if self.centers.ndim != 2 or self.centers.shape[1] != 2 or not len(self.centers):
            raise ValueError(f"expected centres of shape (Q, 2), not {self.centers.shape}")

    @classmethod
    def srgb(cls) -> Self:
        """Return the 394 bins that sRGB reaches, a-major, then b."""
        rows = [(a, b) for a, (low, high) in _ROWS.items() for b in range(low, high + 1, GRID_STEP)]
        return cls(np.array(rows, np.float32))

    def __len__(self) -> int:
        return len(self.centers)

    def index_of(self, ab: FloatArray) -> NDArray[np.int64]:
        """Return the bin nearest to each ab.

        Parameters
        ----------
        ab : float32 array, shape (..., 2), CIELAB units

        Returns
        -------
        int64 array, shape (...)
            0..Q-1. Cells are half-open, [c - 4, c + 4); what lies in no bin's cell takes the bin
            with the nearest centre.
        """
        cell = cells_of(ab) + _CELLS // 2
        np.clip(cell, 0, _CELLS - 1, out=cell)
        index: NDArray[np.int64] = self._nearest_of_cell[cell[..., 0], cell[..., 1]]
        return index

    @cached_property
    def _nearest_of_cell(self) -> NDArray[np.int64]:
        """Index of the bin nearest to each cell of the whole grid, shape (32, 32)."""
        axis = (np.arange(_CELLS) - _CELLS // 2) * GRID_STEP
        grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)  # (32, 32, 2)
        distance = np.square(grid[:, :, None] - self.centers).sum(axis=-1)  # (32, 32, Q)
        nearest: NDArray[np.int64] = distance.argmin(axis=-1)
        return nearest


_CELLS = 32  # -128 .. 120 in steps of 8


def cells_of(ab: FloatArray) -> NDArray[np.int64]:
    """Return the cell of the step-8 grid that each ab lies in, half-open: [c - 4, c + 4).

    Parameters
    ----------
    ab : float32 array, shape (..., 2), CIELAB units

    Returns
    -------
    int64 array, shape (..., 2)
        The cell's centre in steps of `GRID_STEP`; (0, 0) is gray. Not limited to the bins.
    """
    return np.floor(ab / GRID_STEP + 0.5).astype(np.int64)


def derive_srgb_cells() -> set[tuple[int, int]]:
    """Round every 8-bit sRGB color to the grid: the 395 cells that `AbBins.srgb` is taken from.

    Takes some seconds: it is here so that the table above can be checked, not for a run.
    """
    green, blue = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    cells: set[tuple[int, int]] = set()
    for red in range(256):
        rgb = np.stack((np.full_like(green, red), green, blue), axis=-1).astype(np.uint8)
        cell = cells_of(rgb_to_lab_cv2(rgb)[..., 1:]) * GRID_STEP
        cells.update(map(tuple, np.unique(cell.reshape(-1, 2), axis=0).tolist()))
    return cells


def clip_chroma(lightness: FloatArray, ab: FloatArray) -> FloatArray:
    """Reduce chroma just so far that sRGB can show the color at this lightness.

    Lightness and hue angle stay. A color that is inside the gamut is returned as it is.

    Parameters
    ----------
    lightness : float32 array, shape (H, W), 0..100
    ab : float32 array, shape (H, W, 2), CIELAB units

    Returns
    -------
    float32 array, shape (H, W, 2)
    """
    return ab * chroma_scale(lightness, ab[..., 0], ab[..., 1])[..., None]


def chroma_scale(lightness: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the factor on chroma that `clip_chroma` applies, 0..1; all float32, shape (H, W)."""
    chroma, hue = cv2.cartToPolar(a, b, angleInDegrees=True)
    level = lightness * np.float32(_LEVELS_PER_LIGHTNESS)
    scale = np.empty_like(chroma)
    for left in range(0, chroma.shape[1], _REMAP_LIMIT):
        columns = slice(left, left + _REMAP_LIMIT)
        scale[:, columns] = cv2.remap(  # bilinear in the table: x is hue, y is lightness
            _chroma_table(),
            hue[:, columns],
            level[:, columns],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    np.maximum(chroma, np.float32(1e-6), out=chroma)  # ab units; of gray, any factor is right
    np.divide(scale, chroma, out=scale)
    return np.minimum(scale, np.float32(1), out=scale)


_REMAP_LIMIT = 32_000  # columns; OpenCV's remap takes fewer than 2^15
_LEVELS_PER_LIGHTNESS = 2


@cache
def _chroma_table() -> FloatArray:
    """Return the largest chroma in sRGB, shape (lightness 0..100, hue 0..360 degrees).

    Bisection on chroma. Where a ray leaves sRGB, comes back and leaves again (a few hues of very
    light and dark colors), it finds
    one of these places, and a color in the gap between is clipped a little by `lab_to_rgb_cv2`.
    """
    levels = np.arange(100 * _LEVELS_PER_LIGHTNESS + 1, dtype=np.float32)
    hue = np.deg2rad(np.arange(360 + 1, dtype=np.float32))
    f_y = (levels[:, None] / _LEVELS_PER_LIGHTNESS + 16) / 116
    shape = (len(levels), len(hue))
    inside, outside = np.zeros(shape, np.float32), np.full(shape, 140, np.float32)
    y = lab_f_inverse(f_y)
    least, most = np.float32(-1e-4), np.float32(1 + 1e-4)
    # It is needed at the first picture: single precision, and as few arrays as can be.
    for _ in range(12):  # 140 / 2^12: to 0.04 units
        chroma = (inside + outside) / 2
        x = lab_f_inverse(f_y + chroma * (np.cos(hue) / 500))
        z = lab_f_inverse(f_y - chroma * (np.sin(hue) / 200))
        fits = np.ones(shape, bool)
        for of_x, of_y, of_z in RGB_OF_XYZ:
            light = of_x * x + of_z * z
            light += of_y * y
            fits &= light >= least
            fits &= light <= most
        np.copyto(inside, chroma, where=fits)
        np.copyto(outside, chroma, where=~fits)
    return inside
