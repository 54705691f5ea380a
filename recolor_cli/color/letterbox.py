"""Fit a picture of any shape into the canvas that a network reads: geometry as a value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recolor_cli.types import FloatArray, ImageSize


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a picture lies inside a padded canvas; the aspect ratio is never changed.

    Parameters
    ----------
    source : ImageSize
        The picture, px.
    canvas : ImageSize
        What the network reads, px.
    inner : ImageSize
        The picture inside the canvas, px.
    top, left : int
        Its corner, px from the canvas's corner.
    """

    source: ImageSize
    canvas: ImageSize
    inner: ImageSize
    top: int
    left: int

    @classmethod
    def fit(cls, source: ImageSize, size: int, multiple: int | None = None) -> Self:
        """Centre a picture, its long side as long as `size`; small pictures are enlarged.

        Parameters
        ----------
        source : ImageSize
            The picture, px.
        size : int
            The long side of the canvas, px, at least 1.
        multiple : int or None
            The canvas's other side is the smallest multiple of this, px, that holds the picture and
            a little padding; None makes it a square.
        """
        scale = size / max(source.height, source.width)
        inner = ImageSize(
            height=max(1, round(source.height * scale)),
            width=max(1, round(source.width * scale)),
        )
        canvas = ImageSize(
            height=_padded(inner.height, size, multiple or size),
            width=_padded(inner.width, size, multiple or size),
        )
        return cls(
            source=source,
            canvas=canvas,
            inner=inner,
            top=(canvas.height - inner.height) // 2,
            left=(canvas.width - inner.width) // 2,
        )

    def apply(self, plane: FloatArray, fill: float) -> FloatArray:
        """Put a plane that has the size of `inner` into the canvas.

        Parameters
        ----------
        plane : float32 array, shape (inner.height, inner.width)
        fill : float
            Value of the padding.

        Returns
        -------
        float32 array, shape (canvas.height, canvas.width)
        """
        padded = np.full((self.canvas.height, self.canvas.width), fill, np.float32)
        rows = slice(self.top, self.top + self.inner.height)
        columns = slice(self.left, self.left + self.inner.width)
        padded[rows, columns] = plane
        return padded

    def upsample(self, planes: FloatArray) -> LazyUpsampled:
        """Cut the padding off a network's answer and enlarge it to the source.

        The answer may be coarser than the canvas. The cut is made at its exact place between the
        pixels, not at the nearest whole pixel: the color would shift by up to half a coarse pixel,
        which is several pixels of a large picture. Cubic (Catmull-Rom), which is sharper at the
        edges of things than bilinear; beyond the outermost coarse pixel that lies in the picture
        its value is repeated, so that no color of the padding bleeds in.

        Parameters
        ----------
        planes : float32 array, shape (h, w, C)
            What the network said of the whole canvas.
        """
        across = _weights(
            self.source.width, self.left, self.inner.width, planes.shape[1], self.canvas.width
        )
        down = _weights(
            self.source.height, self.top, self.inner.height, planes.shape[0], self.canvas.height
        )
        # As products of matrices: (C, h, W) once, then (C, rows, W) of the rows asked for.
        coarse = np.ascontiguousarray(np.moveaxis(planes, -1, 0))
        wide = np.empty((*coarse.shape[:2], self.source.width), np.float32)
        for columns, taken in _blocks(across, 0, self.source.width):
            np.matmul(coarse[..., taken], across[columns, taken].T, out=wide[..., columns])
        return LazyUpsampled(wide, down)

    def invert(self, planes: FloatArray) -> FloatArray:
        """Return the whole of `upsample`: float32, shape (source.height, source.width, C)."""
        rows = self.upsample(planes).rows(0, self.source.height)
        return np.ascontiguousarray(np.moveaxis(rows, 0, -1))


@dataclass(frozen=True, slots=True)
class LazyUpsampled:
    """A network's answer at a picture's full size, rows of which are computed when asked for.

    Parameters
    ----------
    wide : float32 array, shape (C, h, source.width)
        Enlarged in width only.
    down : float32 array, shape (source.height, h)
        What each of the h coarse rows gives to each row of the source.
    """

    wide: FloatArray
    down: FloatArray

    def rows(self, start: int, stop: int) -> FloatArray:
        """Return rows of the source: float32, shape (C, stop - start, source.width)."""
        result = np.empty((len(self.wide), stop - start, self.wide.shape[2]), np.float32)
        for rows, taken in _blocks(self.down, start, stop):
            part = result[:, rows.start - start : rows.stop - start]
            np.matmul(self.down[rows, taken], self.wide[:, taken], out=part)
        return result


# Few enough to take from few coarse pixels, so many that the calls do not count.
_BLOCK = 96


def _blocks(weights: FloatArray, start: int, stop: int) -> Iterator[tuple[slice, slice]]:
    """Cut pixels of the source into blocks: yield each, and the coarse pixels that it takes from.

    The first and the last of a block tell. A pixel in the very middle of a coarse one takes from
    that alone, its neighbors from four.
    """
    for begin in range(start, stop, _BLOCK):
        end = min(begin + _BLOCK, stop)
        first, last = np.flatnonzero(weights[begin])[0], np.flatnonzero(weights[end - 1])[-1]
        yield slice(begin, end), slice(max(0, int(first) - 1), int(last) + 2)


# Of the long side, on both sides of what is padded at all: a network that learned on squares is
# used to some (models/poster.md).
_LEAST_PADDING = 1 / 32


def _padded(side: int, size: int, multiple: int) -> int:
    """Return the canvas's side for a side of the picture inside, px."""
    wanted = side + 2 * _LEAST_PADDING * size
    return min(size, math.ceil(wanted / multiple) * multiple)


@lru_cache(64)  # many pictures have the same size
def _weights(source: int, offset: int, inner: int, coarse: int, size: int) -> FloatArray:
    """Return what each coarse pixel gives to each of the source, shape (source, coarse)."""
    begin, end = offset * coarse / size, (offset + inner) * coarse / size  # in coarse pixels
    # A coarse pixel counts as inside when its centre is; a thin picture keeps at least one.
    first = min(math.ceil(begin - 0.5), math.ceil(end) - 1)
    last = max(math.ceil(end - 0.5) - 1, first)
    # Pixel centres: (x + 1/2) of the source lies at begin + (x + 1/2) * step.
    step = (end - begin) / source
    position = begin + (np.arange(source) + 0.5) * step - 0.5
    position = np.clip(position, first, last)
    taps = np.floor(position).astype(np.intp)[:, None] + np.arange(-1, 3)
    weights = _catmull_rom(np.abs(position[:, None] - taps))
    matrix = np.zeros((source, coarse), np.float32)
    np.add.at(matrix, (np.arange(source)[:, None], np.clip(taps, first, last)), weights)
    matrix.flags.writeable = False  # it is shared
    return matrix


def _catmull_rom(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of a coarse pixel by its distance, 0..2 (Keys 1981, a = -1/2)."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, far)
