"""Colors that somebody put at places of a picture, spread along its structure.

How far each hint reaches is the solution of one sparse linear system over the pixels: neighbours
that look alike have nearly the same share of the hint, hinted pixels all of it, and a weak pull to
none keeps what lies far away, or across an edge, as the network has it. As in [Levin2004] likeness
is a Gaussian of the difference in lightness; that in the network's color counts as well, since the
network knows things whose edges lightness does not show. With the pull it is the random walker of
[Grady2006] that may end anywhere instead of at a hint.

References
----------
[Levin2004] Levin, Lischinski, Weiss: Colorization using optimization, SIGGRAPH 2004.
[Grady2006] Grady: Random walks for image segmentation, PAMI 28(11), 2006.
[Notay2010] Notay: An aggregation-based algebraic multigrid method, ETNA 37, 2010.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.types import FloatArray

UNSEEDED_PRIOR = 4e-5  # to none of the hints, where 1 is that to a neighbour of the same look
_LIGHTNESS, _COLOR = 2.5, 3.0  # CIELAB units, standard deviations of what is alike
_LEAST = 1e-5  # likeness across any edge: nothing is wholly cut off
_NONE, _ALL = 0.15, 0.5  # shares of a hint that count as none and as all of it
_TOLERANCE, _ITERATIONS = 3e-4, 100  # relative residual; at most 0.35 s of a CPU at 256 px
_DAMPING = 0.7  # of the Jacobi steps
_COARSEST = 8  # px, the side below which a grid is solved at once
_MULTIPLE = 16  # px, that sides are padded to, so that a grid can be halved


@dataclass(frozen=True, eq=False, slots=True)
class HintConstraints:
    """Hints where they lie in the network's square.

    Parameters
    ----------
    fixed : bool array, shape (S, S)
        Which pixels are hinted.
    ab : float32 array, shape (S, S, 2), CIELAB units
        Their color; elsewhere 0.
    """

    fixed: NDArray[np.bool_]
    ab: FloatArray


def spread(
    ab: FloatArray, lightness: FloatArray, inside: NDArray[np.bool_], seeds: HintConstraints
) -> FloatArray:
    """Let hints spread from where they are.

    Parameters
    ----------
    ab : float32 array, shape (h, w, 2), CIELAB units
        The network's colors over the square; may be coarser than it.
    lightness : float32 array, shape (S, S), 0..100
    inside : bool array, shape (S, S)
        Where the square shows the picture, not padding.
    seeds : Seeds

    Returns
    -------
    float32 array, shape (S, S, 2), CIELAB units
        Hinted pixels have exactly their hint's color.
    """
    height, width = lightness.shape
    large = cast(FloatArray, cv2.resize(ab, (width, height), interpolation=cv2.INTER_CUBIC))
    grid = _grid(lightness, large, inside, seeds.fixed & inside)
    given = np.zeros((3, *grid.fixed.shape), np.float32)
    given[0, :height, :width] = seeds.fixed
    given[1:, :height, :width] = seeds.ab.transpose(2, 0, 1)
    # The share of all hints, and their color times their share.
    share, *color = grid.solve(given)[:, :height, :width]
    mixed = np.stack(color) / np.maximum(share, np.float32(1e-6))
    ramp = np.clip((share - _NONE) / (_ALL - _NONE), 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)  # a hint's own region has it wholly, others not at all
    changed = large + (ramp * (mixed - large.transpose(2, 0, 1))).transpose(1, 2, 0)
    return cast(FloatArray, changed)


def _grid(
    lightness: FloatArray, ab: FloatArray, inside: NDArray[np.bool_], fixed: NDArray[np.bool_]
) -> _Grid:
    """Link the pixels of a square with their neighbours; outside it, and the picture, none are."""
    margin = [(0, -side % _MULTIPLE) for side in lightness.shape]
    lightness = np.pad(lightness, margin)
    inside, fixed = np.pad(inside, margin), np.pad(fixed, margin)
    ab = np.pad(ab, (*margin, (0, 0)))
    look = np.dstack((lightness / np.float32(_LIGHTNESS), ab / np.float32(_COLOR)))
    links = []
    for axis in (0, 1):
        apart = np.square(np.diff(look, axis=axis)).sum(axis=-1)
        alike = np.maximum(np.exp(-apart / 2), np.float32(_LEAST))
        ends = np.split(inside, [1, -1], axis)
        both = np.concatenate(ends[:2], axis) & np.concatenate(ends[1:], axis)
        links.append(np.where(both, alike, np.float32(0)))
    return _Grid(links[0], links[1], np.full(lightness.shape, UNSEEDED_PRIOR, np.float32), fixed)


@dataclass(frozen=True, eq=False)
class _Grid:
    """The linear system: each pixel is the mean of its neighbours and of 0, weighted by its links.

    Parameters
    ----------
    down : float32 array, shape (h - 1, w)
        Links of pixels to those below.
    right : float32 array, shape (h, w - 1)
        To those on the right.
    pull : float32 array, shape (h, w)
        To 0.
    fixed : bool array, shape (h, w)
        Pixels whose value is given.
    """

    down: FloatArray
    right: FloatArray
    pull: FloatArray
    fixed: NDArray[np.bool_]

    @cached_property
    def _free(self) -> FloatArray:
        return (~self.fixed).astype(np.float32)

    @cached_property
    def _diagonal(self) -> FloatArray:
        diagonal = self.pull.copy()
        diagonal[:-1] += self.down
        diagonal[1:] += self.down
        diagonal[:, :-1] += self.right
        diagonal[:, 1:] += self.right
        return diagonal

    @cached_property
    def _step(self) -> FloatArray:
        """What a damped Jacobi step multiplies a residual with."""
        least = np.float32(1e-20)
        step = np.float32(_DAMPING) * self._free / np.maximum(self._diagonal, least)
        return cast(FloatArray, step)

    def _product(self, planes: FloatArray) -> FloatArray:
        """Multiply planes (C, h, w) with the matrix; rows of fixed pixels give 0."""
        result = self._diagonal * planes
        result[:, :-1] -= self.down * planes[:, 1:]
        result[:, 1:] -= self.down * planes[:, :-1]
        result[:, :, :-1] -= self.right * planes[:, :, 1:]
        result[:, :, 1:] -= self.right * planes[:, :, :-1]
        result *= self._free
        return result

    def solve(self, given: FloatArray) -> FloatArray:
        """Solve for planes (C, h, w) that have the values `given`, 0 elsewhere, where it is fixed.

        Conjugate gradients, preconditioned by a multigrid cycle.
        """
        x = given * self.fixed
        residual = -self._product(x)
        enough = _TOLERANCE**2 * _dot(residual, residual)
        better = step = self._cycle(residual)
        energy = _dot(residual, better)
        tiny = np.float32(1e-30)  # planes that are solved already divide by nothing else
        for _ in range(_ITERATIONS):
            if (_dot(residual, residual) <= enough).all():
                break
            image = self._product(step)
            length = energy / np.maximum(_dot(step, image), tiny)
            x += length * step
            residual -= length * image
            better = self._cycle(residual)
            previous, energy = energy, _dot(residual, better)
            step = better + cast(FloatArray, energy / np.maximum(previous, tiny) * step)
        return x

    def _cycle(self, residual: FloatArray) -> FloatArray:
        """Solve roughly: Jacobi step, the coarser grid's correction, Jacobi step [Notay2010]."""
        coarse = self._coarse
        if coarse is None:
            flat = residual.reshape(len(residual), -1)
            return cast(FloatArray, (flat @ self._inverse).reshape(residual.shape))
        x = self._step * residual
        correction = coarse._cycle(_blocks(residual - self._product(x)))
        x += self._free * correction.repeat(2, axis=1).repeat(2, axis=2)
        x += self._step * (residual - self._product(x))
        return x

    @cached_property
    def _coarse(self) -> _Grid | None:
        """The system over blocks of 2 x 2 pixels that move together; fixed ones pull to 0."""
        height, width = self.fixed.shape
        if min(height, width) <= _COARSEST or height % 2 or width % 2:
            return None
        free = self._free
        down = self.down * free[1:] * free[:-1]
        right = self.right * free[:, 1:] * free[:, :-1]
        pull = _Grid(self.down - down, self.right - right, self.pull, self.fixed)._diagonal * free
        blocks = _blocks(np.stack((pull, free)))
        return _Grid(
            down[1::2, 0::2] + down[1::2, 1::2],
            right[0::2, 1::2] + right[1::2, 1::2],
            blocks[0],
            blocks[1] == 0,
        )

    @cached_property
    def _inverse(self) -> FloatArray:
        """The inverse of the matrix, where it is small."""
        unit = np.eye(self.fixed.size, dtype=np.float32).reshape(-1, *self.fixed.shape)
        matrix = self._product(unit * self._free).reshape(len(unit), -1)
        matrix += np.diag(self.fixed.ravel())
        return cast(FloatArray, np.linalg.inv(matrix.astype(np.float64)).astype(np.float32))


def _blocks(planes: FloatArray) -> FloatArray:
    """Return the sum of each block of 2 x 2 pixels of planes (C, h, w)."""
    rows = planes[:, 0::2] + planes[:, 1::2]
    return cast(FloatArray, rows[:, :, 0::2] + rows[:, :, 1::2])


def _dot(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the scalar product of each plane with its other, shape (C, 1, 1)."""
    return cast(FloatArray, np.einsum("chw,chw->c", one, other)[:, None, None])
