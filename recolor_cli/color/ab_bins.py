"""The classes of a classification network: cells of a grid in CIELAB's ab plane.

References
----------
[Zhang2016] Zhang, Isola, Efros: Colorful image colorization, ECCV 2016 (313 bins, grid step 10).
[Meistrenko] Meistrenko: Automatic recolorization of movie posters, Stanford (394 bins, step 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recolor_cli.types import FloatArray

GRID_STEP = 8  # ab units; a cell with centre c covers c - 4 .. c + 4
_CELLS = 32  # cells along each axis: centres of -128 .. 120 in steps of 8

# For each a: the lowest and the highest b that sRGB reaches, in steps of 8. A slow test derives
# them from every 8-bit sRGB color.
_B_RANGE_OF_A = {
    -88: (80, 80), -80: (48, 88), -72: (24, 88), -64: (8, 88), -56: (-8, 88), -48: (-16, 88),
    -40: (-24, 88), -32: (-32, 96), -24: (-40, 96), -16: (-48, 96), -8: (-56, 88), 0: (-56, 88),
    8: (-64, 88), 16: (-72, 80), 24: (-80, 80), 32: (-80, 80), 40: (-88, 72), 48: (-96, 72),
    56: (-96, 72), 64: (-104, 72), 72: (-104, 72), 80: (-104, 64), 88: (-88, 8), 96: (-72, -40),
}  # fmt: skip


@dataclass(frozen=True)
class AbBins:
    """The color bins of a classification network, by their centres in the ab plane.

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
        centers = [
            (a, b)
            for a, (low, high) in _B_RANGE_OF_A.items()
            for b in range(low, high + 1, GRID_STEP)
        ]
        return cls(np.array(centers, np.float32))

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
            0..Q-1. Cells are half-open, [c - 4, c + 4). Colors outside every bin's cell take the
            bin with the nearest centre.
        """
        cell = cells_of(ab) + _CELLS // 2
        np.clip(cell, 0, _CELLS - 1, out=cell)
        nearest = _nearest_of_cell(self.centers.tobytes())
        index: NDArray[np.int64] = nearest[cell[..., 0], cell[..., 1]]
        return index


@lru_cache(4)  # the same bins come with each picture
def _nearest_of_cell(centers: bytes) -> NDArray[np.int64]:
    """Return the index of the bin nearest to each cell of the whole grid, shape (32, 32)."""
    bins = np.frombuffer(centers, np.float32).reshape(-1, 2)
    axis = (np.arange(_CELLS) - _CELLS // 2) * GRID_STEP
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)  # (32, 32, 2)
    # |g - c|^2, without |g|^2, which is the same for all bins of a cell
    distance = np.square(bins).sum(axis=1) - 2 * grid @ bins.T  # (32, 32, Q)
    nearest: NDArray[np.int64] = distance.argmin(axis=-1)
    return nearest


def cells_of(ab: FloatArray) -> NDArray[np.int64]:
    """Return the cell of the step-8 grid that each ab lies in, half-open: [c - 4, c + 4).

    Parameters
    ----------
    ab : float32 array, shape (..., 2), CIELAB units

    Returns
    -------
    int64 array, shape (..., 2)
        The cell's centre in steps of `GRID_STEP`; (0, 0) is gray. Any cell of the plane.
    """
    return np.floor(ab / GRID_STEP + 0.5).astype(np.int64)
