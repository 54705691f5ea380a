"""Measure how near a recolored picture comes to its true colors.

All figures are taken at full size on the pixels that would be written: 8-bit sRGB after gamut
mapping. Each is computed per picture and then averaged, so that each picture counts the same. There
are two exceptions: both AuC pool the pixels of all pictures, and ratios divide two averages.
`GLOSSARY` defines every figure.

References
----------
[Meistrenko] Meistrenko: Automatic recolorization of movie posters, Stanford.
[Zhang2016] Zhang, Isola, Efros: Colorful image colorization, ECCV 2016, section 3.1.
[Sharma2005] Sharma, Wu, Dalal: The CIEDE2000 color-difference formula, Color Res. Appl. 30(1).
[Hasler2003] Hasler, Suesstrunk: Measuring colourfulness in natural images, SPIE 5007.
[DDColor] Kang et al.: DDColor, ICCV 2023, and its released code, for the absolute variant.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000

from recolor_cli.color.ab_bins import AbBins, cells_of
from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.types import FloatArray, RgbImage

_THRESHOLDS = 151  # ab errors of 0, 1, ... 150
_CELLS = 32  # more than any cell's number on an axis, which counts from gray

GLOSSARY = {
    "l2": "mean of ((a - a')² + (b - b')²) / 2, squared CIELAB units [Meistrenko, Eq. 1]",
    "auc": "share of pixels whose ab error is at most t, averaged over t = 0, 1, ... 150 "
    "[Zhang2016]",
    "balanced_auc": "the same share within each true class, averaged over the classes that occur, "
    "so that a pixel weighs the inverse of its class's frequency",
    "zero_class": "share of pixels in the true cell of the step-8 ab grid, among the pixels whose "
    "true cell is not the gray one",
    "one_class": "the same, at most one cell from the true one (Chebyshev distance)",
    "two_class": "the same, at most two cells from it",
    "classes": "cells of the step-8 ab grid that the result occupies",
    "class_ratio": "occupied cells of the result over those of the truth",
    "chroma_ratio": "mean chroma of the result over that of the truth: 1 is right, 0 is gray",
    "ciede2000": "mean color difference, lightness included [Sharma2005]",
    "psnr": "peak signal-to-noise ratio of sRGB, dB, in floating point. Lightness is kept, so only "
    "chroma counts, and a gray picture does well. A picture without any error is left out",
    "colorfulness": "sqrt(sd(rg)² + sd(yb)²) + 0.3 sqrt(mean(rg)² + mean(yb)²) with rg = |R - G|, "
    "yb = |(R + G) / 2 - B|: the absolute variant, which [DDColor] and most papers print; "
    "[Hasler2003] has the differences with their signs",
    "delta_cf_of_means": "|mean colorfulness of all results - that of all truths| [DDColor]",
    "delta_cf_mean": "mean over the pictures of |colorfulness of the result - of the truth|",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of `GLOSSARY`, averaged over some pictures; NaN where no pixel qualifies."""

    pictures: int
    l2: float
    auc: float
    balanced_auc: float
    zero_class: float
    one_class: float
    two_class: float
    classes: float
    class_ratio: float
    chroma_ratio: float
    ciede2000: float
    psnr: float
    colorfulness: float
    delta_cf_of_means: float
    delta_cf_mean: float
    true_classes: float
    true_colorfulness: float


@dataclass(frozen=True, slots=True)
class PictureFigures:
    """The figures of one picture, which are then averaged; NaN where no pixel qualifies."""

    l2: float
    zero_class: float
    one_class: float
    two_class: float
    classes: float
    true_classes: float
    chroma: float
    true_chroma: float
    ciede2000: float
    psnr: float
    colorfulness: float
    true_colorfulness: float

    @classmethod
    def of(cls, truth: RgbImage, result: RgbImage, true_lab: FloatArray, lab: FloatArray) -> Self:
        """Measure one picture, given as 8-bit sRGB and as CIELAB, all of shape (H, W, 3)."""
        true_ab, ab = true_lab[..., 1:], lab[..., 1:]
        true_cell, cell = cells_of(true_ab), cells_of(ab)
        distance = np.abs(true_cell - cell).max(axis=-1)
        colored = distance[true_cell.any(axis=-1)]
        squared = np.mean(np.square(truth.astype(np.float32) - result))
        psnr = 10 * np.log10(255**2 / squared) if squared else np.nan
        return cls(
            l2=float(np.mean(np.square(true_ab - ab))),
            zero_class=_share(colored <= 0),
            one_class=_share(colored <= 1),
            two_class=_share(colored <= 2),
            classes=_count_cells(cell),
            true_classes=_count_cells(true_cell),
            chroma=float(np.linalg.norm(ab, axis=-1).mean()),
            true_chroma=float(np.linalg.norm(true_ab, axis=-1).mean()),
            ciede2000=float(deltaE_ciede2000(true_lab, lab).mean()),  # type: ignore[no-untyped-call]
            psnr=float(psnr),
            colorfulness=colorfulness(result),
            true_colorfulness=colorfulness(truth),
        )


@dataclass
class Accumulator:
    """Sums over pictures that are added one at a time."""

    bins: AbBins = field(default_factory=AbBins.srgb)
    per_picture: list[PictureFigures] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._errors = np.zeros((len(self.bins), _THRESHOLDS + 1), np.int64)

    def add(self, truth: RgbImage, result: RgbImage) -> None:
        """Measure one picture and add it to the sums.

        Parameters
        ----------
        truth, result : uint8 array, shape (H, W, 3), sRGB

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        if truth.shape != result.shape:
            raise ValueError(f"truth {truth.shape} and result {result.shape} differ in shape")
        true_lab, lab = rgb_to_lab_cv2(truth), rgb_to_lab_cv2(result)
        error = np.linalg.norm(true_lab[..., 1:] - lab[..., 1:], axis=-1)
        # Column t counts the errors in (t - 1, t]; the last column, those beyond all thresholds.
        column = np.minimum(np.ceil(error), _THRESHOLDS).astype(np.int64)
        flat = self.bins.index_of(true_lab[..., 1:]) * (_THRESHOLDS + 1) + column
        self._errors += np.bincount(flat.ravel(), minlength=self._errors.size).reshape(
            self._errors.shape
        )
        self.per_picture.append(PictureFigures.of(truth, result, true_lab, lab))

    def figures(self) -> Figures:
        """Return the figures of all pictures so far.

        Raises
        ------
        ValueError
            If no picture was added.
        """
        if not self.per_picture:
            raise ValueError("no picture was measured")
        of = {
            f.name: np.array([getattr(picture, f.name) for picture in self.per_picture])
            for f in fields(PictureFigures)
        }
        mean = {
            name: float(values[~np.isnan(values)].mean()) if (~np.isnan(values)).any() else np.nan
            for name, values in of.items()
        }
        of_class = self._errors[self._errors.sum(axis=1) > 0]
        share = np.cumsum(of_class, axis=1)[:, :_THRESHOLDS] / of_class.sum(axis=1, keepdims=True)
        pooled = np.cumsum(of_class.sum(axis=0))[:_THRESHOLDS] / of_class.sum()
        chroma, true_chroma = mean.pop("chroma"), mean.pop("true_chroma")
        return Figures(
            pictures=len(self.per_picture),
            auc=float(pooled.mean()),
            balanced_auc=float(share.mean()),
            class_ratio=mean["classes"] / mean["true_classes"],
            chroma_ratio=chroma / max(true_chroma, 1e-9),
            delta_cf_of_means=abs(mean["colorfulness"] - mean["true_colorfulness"]),
            delta_cf_mean=float(np.abs(of["colorfulness"] - of["true_colorfulness"]).mean()),
            **mean,
        )


def colorfulness(rgb: RgbImage) -> float:
    """Return the colorfulness that `GLOSSARY` defines, from 0 (gray) to about 110 (extreme).

    Parameters
    ----------
    rgb : uint8 array, shape (H, W, 3), sRGB
    """
    red, green, blue = np.moveaxis(rgb.astype(np.float32), -1, 0)
    red_green, yellow_blue = np.abs(red - green), np.abs((red + green) / 2 - blue)
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))


def _share(hits: NDArray[np.bool_]) -> float:
    return float(np.mean(hits)) if hits.size else np.nan


def _count_cells(cells: NDArray[np.int64]) -> int:
    """Return how many different cells occur in an array of shape (H, W, 2)."""
    a, b = cells[..., 0] + _CELLS, cells[..., 1] + _CELLS  # never negative
    return int(np.count_nonzero(np.bincount((a * 2 * _CELLS + b).ravel())))
