"""Figures that say how near a recoloring comes to the colors that a picture had.

All are taken inside the picture, at its full size, on what would be written: after gamut mapping
and rounding. L2, the class accuracies, chroma and the number of classes are taken per picture and
then averaged, so that each picture counts the same; the two AuC pool the pixels of all pictures.

Definitions
-----------
L2              mean of ((a - a')^2 + (b - b')^2) / 2, squared CIELAB units [Meistrenko, Eq. 1]
n-class         share of pixels whose cell of the step-8 ab grid lies within n cells of the true one
                (Chebyshev distance), over pixels whose true cell is not the gray one [Meistrenko]
AuC             share of pixels whose ab error is at most t, averaged over t = 0, 1, ... 150
                [Zhang2016, section 3.1]
balanced AuC    the same share taken for each true class first, then averaged over the classes that
                occur: a pixel weighs the inverse of its class's frequency in the pictures measured
chroma          mean chroma of the result over that of the truth; 1 is right, 0 is gray
classes         number of occupied cells of the result over that of the truth
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recolor_cli.gamut import AbBins, cells_of
from recolor_cli.types import FloatArray

_THRESHOLDS = 151  # 0, 1, ... 150
_CELLS = 32  # of the whole grid, a side


@dataclass(frozen=True, slots=True)
class Figures:
    """One row of the table; see the module's docstring for what each means."""

    pictures: int
    l2: float
    auc: float
    balanced_auc: float
    one_class: float
    two_class: float
    chroma: float
    classes: float


@dataclass
class Accumulator:
    """Collects pictures one at a time; `figures` may be asked for at any moment after the first."""

    bins: AbBins = field(default_factory=AbBins.srgb)
    _per_picture: list[tuple[float, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._errors = np.zeros((len(self.bins), _THRESHOLDS + 1), np.int64)

    def add(self, truth: FloatArray, result: FloatArray) -> None:
        """Take in one picture.

        Parameters
        ----------
        truth, result : float32 array, shape (H, W, 2), ab in CIELAB units

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        if truth.shape != result.shape:
            raise ValueError(f"truth {truth.shape} and result {result.shape} differ in shape")
        error = np.linalg.norm(truth - result, axis=-1)
        # Column t counts errors in (t - 1, t]; the last one those beyond all thresholds.
        column = np.minimum(np.ceil(error), _THRESHOLDS).astype(np.int64)
        flat = self.bins.index_of(truth) * (_THRESHOLDS + 1) + column
        self._errors += np.bincount(flat.ravel(), minlength=self._errors.size).reshape(
            self._errors.shape
        )
        true_cell, cell = cells_of(truth), cells_of(result)
        distance = np.abs(true_cell - cell).max(axis=-1)
        colored = true_cell.any(axis=-1)
        self._per_picture.append(
            (
                float(np.mean(np.square(truth - result))),
                float(np.mean(distance[colored] <= 1)) if colored.any() else np.nan,
                float(np.mean(distance[colored] <= 2)) if colored.any() else np.nan,
                float(np.linalg.norm(result, axis=-1).mean()),
                float(np.linalg.norm(truth, axis=-1).mean()),
                _occupied(cell),
                _occupied(true_cell),
            )
        )

    def figures(self) -> Figures:
        """Return the figures of all pictures so far.

        Raises
        ------
        ValueError
            If there was none.
        """
        if not self._per_picture:
            raise ValueError("no picture was measured")
        l2, one, two, chroma, true_chroma, classes, true_classes = np.nanmean(
            np.array(self._per_picture), axis=0
        )
        of_class = self._errors[self._errors.sum(axis=1) > 0]
        share = np.cumsum(of_class, axis=1)[:, :_THRESHOLDS] / of_class.sum(axis=1, keepdims=True)
        pooled = np.cumsum(of_class.sum(axis=0))[:_THRESHOLDS] / of_class.sum()
        return Figures(
            pictures=len(self._per_picture),
            l2=float(l2),
            auc=float(pooled.mean()),
            balanced_auc=float(share.mean()),
            one_class=float(one),
            two_class=float(two),
            chroma=float(chroma / max(true_chroma, 1e-9)),
            classes=float(classes / true_classes),
        )


def _occupied(cells: NDArray[np.int64]) -> int:
    """Return how many different cells occur."""
    a, b = cells[..., 0] + _CELLS, cells[..., 1] + _CELLS  # never negative
    return int(np.count_nonzero(np.bincount((a * 2 * _CELLS + b).ravel())))
