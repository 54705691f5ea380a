"""Fit a picture of any shape into the square that a network reads: geometry as a value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

from recolor_cli.types import FloatArray, ImageSize


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a picture lies inside a padded square; the aspect ratio is never changed.

    Parameters
    ----------
    source : ImageSize
        The picture, px.
    size : int
        The side of the square, px.
    inner : ImageSize
        The picture inside the square, px; its long side is `size`.
    top, left : int
        Its corner, px from the square's corner.
    """

    source: ImageSize
    size: int
    inner: ImageSize
    top: int
    left: int

    @classmethod
    def fit(cls, source: ImageSize, size: int) -> Self:
        """Centre a picture in a square of side `size` px; small pictures are enlarged.

        Parameters
        ----------
        source : ImageSize
            The picture, px.
        size : int
            The side of the square, px, at least 1.
        """
        scale = size / max(source.height, source.width)
        inner = ImageSize(
            height=max(1, round(source.height * scale)),
            width=max(1, round(source.width * scale)),
        )
        return cls(
            source=source,
            size=size,
            inner=inner,
            top=(size - inner.height) // 2,
            left=(size - inner.width) // 2,
        )

    def apply(self, plane: FloatArray, fill: float) -> FloatArray:
        """Put a plane that has the size of `inner` into the square.

        Parameters
        ----------
        plane : float32 array, shape (inner.height, inner.width)
        fill : float
            Value of the padding.

        Returns
        -------
        float32 array, shape (size, size)
        """
        square = np.full((self.size, self.size), fill, np.float32)
        rows = slice(self.top, self.top + self.inner.height)
        columns = slice(self.left, self.left + self.inner.width)
        square[rows, columns] = plane
        return square

    def invert_rows(self, planes: FloatArray, start: int, stop: int) -> FloatArray:
        """Cut the padding off a network's answer and enlarge it to rows of the source.

        The answer may be coarser than the square. The cut is made at its exact place between the
        pixels, not at the nearest whole pixel: the color would shift by up to half a coarse pixel,
        which is several pixels of a large picture. Cubic (Catmull-Rom), which is sharper at the
        edges of things than bilinear; beyond the outermost coarse pixel that lies in the picture
        its value is repeated, so that no color of the padding bleeds in.

        Parameters
        ----------
        planes : float32 array, shape (h, w, C)
            What the network said of the whole square.
        start, stop : int
            Rows of the source, so that a large picture can be done in strips.

        Returns
        -------
        float32 array, shape (stop - start, source.width, C)
        """
        height, width, channels = planes.shape
        source = self.source
        across = _weights(
            0, source.width, source.width, self.left, self.inner.width, width, self.size
        )
        down = _weights(start, stop, source.height, self.top, self.inner.height, height, self.size)
        coarse = planes[down.first : down.last + 1, across.first : across.last + 1]
        # As products of matrices: (k, W, C) of the coarse rows that are needed, then (H, W, C).
        wide = np.matmul(across.matrix, coarse)
        rows = down.matrix @ wide.reshape(len(wide), -1)
        return cast(FloatArray, rows.reshape(stop - start, source.width, channels))

    def invert(self, planes: FloatArray) -> FloatArray:
        """Return `invert_rows` for all rows: float32, shape (source.height, source.width, C)."""
        return self.invert_rows(planes, 0, self.source.height)


@dataclass(frozen=True, slots=True)
class _Weights:
    """What coarse pixels first..last give to fine ones, shape (fine, last - first + 1)."""

    first: int
    last: int
    matrix: FloatArray


def _weights(
    start: int, stop: int, source: int, offset: int, inner: int, coarse: int, size: int
) -> _Weights:
    """Interpolate source pixels start..stop-1 from the coarse pixels inside the picture."""
    begin, end = offset * coarse / size, (offset + inner) * coarse / size  # in coarse pixels
    # A coarse pixel counts as inside when its centre is; a thin picture keeps at least one.
    first = min(math.ceil(begin - 0.5), math.ceil(end) - 1)
    last = max(math.ceil(end - 0.5) - 1, first)
    # Pixel centres: (x + 1/2) of the source lies at begin + (x + 1/2) * step.
    step = (end - begin) / source
    position = begin + (np.arange(start, stop) + 0.5) * step - 0.5
    position = np.clip(position, first, last)
    taps = np.floor(position).astype(np.intp)[:, None] + np.arange(-1, 3)
    weights = _catmull_rom(np.abs(position[:, None] - taps))
    taps = np.clip(taps, first, last)
    low, high = int(taps.min()), int(taps.max())
    matrix = np.zeros((stop - start, high - low + 1), np.float32)
    np.add.at(matrix, (np.arange(stop - start)[:, None], taps - low), weights)
    return _Weights(low, high, matrix)


def _catmull_rom(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of a coarse pixel by its distance, 0..2 (Keys 1981, a = -1/2)."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, far)
