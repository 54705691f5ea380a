"""Fit a picture of any shape into the canvas that a network reads, and invert that."""

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
    """The place of a picture inside a padded canvas. The aspect ratio never changes.

    Parameters
    ----------
    source : ImageSize
        The picture, px.
    canvas : ImageSize
        The network's input, px.
    inner : ImageSize
        The picture inside the canvas, px.
    top, left : int
        Upper left corner of `inner`, px from the canvas's corner.
    """

    source: ImageSize
    canvas: ImageSize
    inner: ImageSize
    top: int
    left: int

    @classmethod
    def fit(cls, source: ImageSize, size: int, multiple: int | None = None) -> Self:
        """Centre a picture in a canvas; small pictures are enlarged.

        Parameters
        ----------
        source : ImageSize
            The picture, px.
        size : int
            Long side of the picture in the canvas, and of the canvas, px, at least 1.
        multiple : int or None
            The other side of the canvas is the smallest multiple of this, px, that holds the
            picture and a little padding, or `size`. None makes the canvas a square.
        """
        scale = size / max(source.height, source.width)
        inner = ImageSize(
            height=max(1, round(source.height * scale)),
            width=max(1, round(source.width * scale)),
        )
        canvas = ImageSize(
            height=_canvas_side(inner.height, size, multiple or size),
            width=_canvas_side(inner.width, size, multiple or size),
        )
        return cls(
            source=source,
            canvas=canvas,
            inner=inner,
            top=(canvas.height - inner.height) // 2,
            left=(canvas.width - inner.width) // 2,
        )

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the canvas that show the picture."""
        return (
            slice(self.top, self.top + self.inner.height),
            slice(self.left, self.left + self.inner.width),
        )

    def apply(self, plane: FloatArray, fill: float) -> FloatArray:
        """Pad a plane of the size of `inner` to the canvas.

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
        padded[self.inside] = plane
        return padded

    def upsample(self, planes: FloatArray) -> LazyUpsampled:
        """Crop a network's output to the picture and upsample it to the source.

        The output may be coarser than the canvas. It is cropped at the exact place between its
        pixels. The nearest whole pixel would shift the color by up to half a coarse pixel, which
        is several pixels of a large picture. The interpolation is cubic (Catmull-Rom), because that
        is sharper at edges than bilinear. Beyond the outermost coarse pixel inside the picture its
        value is repeated, so that no color of the padding bleeds in.

        Parameters
        ----------
        planes : float32 array, shape (h, w, C)
            The network's output for the whole canvas.
        """
        across = _upsampling_matrix(
            self.source.width, self.left, self.inner.width, planes.shape[1], self.canvas.width
        )
        down = _upsampling_matrix(
            self.source.height, self.top, self.inner.height, planes.shape[0], self.canvas.height
        )
        # Two matrix products: (C, h, W) now, and (C, rows, W) for the rows that are asked for.
        coarse = np.ascontiguousarray(np.moveaxis(planes, -1, 0))
        wide = np.empty((*coarse.shape[:2], self.source.width), np.float32)
        for columns, taken in _blocks(across, 0, self.source.width):
            np.matmul(coarse[..., taken], across[columns, taken].T, out=wide[..., columns])
        return LazyUpsampled(wide, down)

    def invert(self, planes: FloatArray) -> FloatArray:
        """Upsample a network's output at once: float32, shape (source.height, source.width, C)."""
        rows = self.upsample(planes).rows(0, self.source.height)
        return np.ascontiguousarray(np.moveaxis(rows, 0, -1))


@dataclass(frozen=True, slots=True)
class LazyUpsampled:
    """Planes at a picture's full size whose rows are computed on demand.

    Parameters
    ----------
    wide : float32 array, shape (C, h, source.width)
        Upsampled in width only.
    down : float32 array, shape (source.height, h)
        Weight of each of the h coarse rows in each row of the source.
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


# Block length in pixels of the source. Small blocks read few coarse pixels; large ones amortise the
# overhead of a call.
_BLOCK = 96


def _blocks(weights: FloatArray, start: int, stop: int) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of source pixels, each with the coarse pixels that have weight in it.

    These follow from the first and the last pixel of a block, with a margin of one: a pixel in the
    very middle of a coarse pixel reads that one alone, but its neighbors read four.
    """
    for begin in range(start, stop, _BLOCK):
        end = min(begin + _BLOCK, stop)
        first, last = np.flatnonzero(weights[begin])[0], np.flatnonzero(weights[end - 1])[-1]
        yield slice(begin, end), slice(max(0, int(first) - 1), int(last) + 2)


# Padding on both sides of the picture's short side, as a share of the long one. Networks that were
# trained on square canvases expect some (models/poster.md).
_MIN_PADDING = 1 / 32


def _canvas_side(side: int, size: int, multiple: int) -> int:
    """Return the canvas's side, px, for a side of the picture inside."""
    wanted = side + 2 * _MIN_PADDING * size
    return min(size, math.ceil(wanted / multiple) * multiple)


@lru_cache(8)  # many pictures have the same size; a matrix takes about 2 MB
def _upsampling_matrix(source: int, offset: int, inner: int, coarse: int, size: int) -> FloatArray:
    """Return the weight of each coarse pixel in each source pixel, shape (source, coarse).

    All arguments are sides along one axis, px: of the source, of the picture's offset and length
    in the canvas, of the network's output, and of the canvas.
    """
    begin, end = offset * coarse / size, (offset + inner) * coarse / size  # in coarse pixels
    # A coarse pixel is inside if its centre is; a thin picture keeps at least one.
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
    matrix.flags.writeable = False  # the cache shares it
    return matrix


def _catmull_rom(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of a coarse pixel by its distance, 0..2 (Keys 1981, a = -1/2)."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, far)
