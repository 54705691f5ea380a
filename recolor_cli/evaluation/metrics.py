"""Figures that say how near a recoloring comes to the colors that a picture had.

All are taken inside the picture, at its full size, on what would be written: 8-bit sRGB after gamut
mapping. Each is taken per picture and then averaged, so that each picture counts the same, but for
the two AuC, which pool the pixels of all pictures, and the ratios, which are those of the averages.
`GLOSSARY` defines them.

References
----------
[Meistrenko] Meistrenko: Automatic recolorization of movie posters, Stanford; its released code for
    the masks.
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

_THRESHOLDS = 151  # 0, 1, ... 150
_CELLS = 32  # of the whole grid, a side

GLOSSARY = {
    "l2": "mean of ((a - a')² + (b - b')²) / 2, squared CIELAB units [Meistrenko, Eq. 1]",
    "l2_padded": "the same over a square that the picture is padded to, the padding without error, "
    "as [Meistrenko] measured; it depends on the aspect ratio",
    "auc": "share of pixels whose ab error is at most t, averaged over t = 0, 1, ... 150 "
    "[Zhang2016]",
    "balanced_auc": "the same share taken for each true class first, then averaged over the "
    "classes that occur: a pixel weighs the inverse of its class's frequency in what is measured",
    "zero_class": "share of pixels in the true cell of the step-8 ab grid, over pixels whose true "
    "cell is not the gray one",
    "one_class": "the same within one cell of the true one (Chebyshev distance)",
    "two_class": "the same within two cells",
    "legacy_zero_class": "share of pixels in the true cell over the padded square, the padding "
    "counted as right [Meistrenko, code]",
    "legacy_one_class": "within one cell, over pixels whose true cell lies neither in the row "
    "a = 0 nor in the column b = 0 [Meistrenko, code]: that mask drops many colors with the grays",
    "legacy_two_class": "the same within two cells",
    "classes": "occupied cells of the result",
    "class_ratio": "the same over those of the truth",
    "chroma_ratio": "mean chroma of the result over that of the truth: 1 is right, 0 is gray",
    "ciede2000": "mean color difference, lightness included [Sharma2005]",
    "psnr": "peak signal-to-noise ratio of sRGB, dB, in floating point; as lightness is kept, of "
    "chroma alone, so that a gray picture does well; a picture without any error is left out",
    "colorfulness": "sqrt(sd(rg)² + sd(yb)²) + 0.3 sqrt(mean(rg)² + mean(yb)²) with rg = |R - G|, "
    "yb = |(R + G) / 2 - B|: the absolute variant, which [DDColor] and most papers print; "
    "[Hasler2003] has the differences with their signs",
    "delta_cf_of_means": "|mean colorfulness of all results - that of all truths| [DDColor]",
    "delta_cf_mean": "mean over the pictures of |colorfulness of the result - of the truth|",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What `GLOSSARY` defines, averaged over some pictures."""

    pictures: int
    l2: float
    l2_padded: float
    auc: float
    balanced_auc: float
    zero_class: float
    one_class: float
    two_class: float
    legacy_zero_class: float
    legacy_one_class: float
    legacy_two_class: float
    classes: float
    class_ratio: float
    chroma_ratio: float
    ciede2000: float
    psnr: float
    colorfulness: float
    delta_cf_of_means: float
    delta_cf_mean: float
    true_classes: float  # a picture
    true_colorfulness: float


@dataclass(frozen=True, slots=True)
class PictureFigures:
    """What is averaged over pictures; nan where no pixel qualifies."""

    l2: float
    l2_padded: float
    zero_class: float
    one_class: float
    two_class: float
    legacy_zero_class: float
    legacy_one_class: float
    legacy_two_class: float
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
        """Measure one picture, given in sRGB and in CIELAB."""
        height, width = truth.shape[:2]
        covered = height * width / max(height, width) ** 2  # of the padded square
        true_ab, ab = true_lab[..., 1:], lab[..., 1:]
        l2 = float(np.mean(np.square(true_ab - ab)))
        true_cell, cell = cells_of(true_ab), cells_of(ab)
        distance = np.abs(true_cell - cell).max(axis=-1)
        colored = distance[true_cell.any(axis=-1)]
        off_axes = distance[true_cell.all(axis=-1)]
        squared = np.mean(np.square(truth.astype(np.float32) - result))
        psnr = 10 * np.log10(255**2 / squared) if squared else np.nan
        return cls(
            l2=l2,
            l2_padded=l2 * covered,
            zero_class=_share(colored <= 0),
            one_class=_share(colored <= 1),
            two_class=_share(colored <= 2),
            legacy_zero_class=1 - covered * (1 - _share(distance <= 0)),
            legacy_one_class=_share(off_axes <= 1),
            legacy_two_class=_share(off_axes <= 2),
            classes=_occupied(cell),
            true_classes=_occupied(true_cell),
            chroma=float(np.linalg.norm(ab, axis=-1).mean()),
            true_chroma=float(np.linalg.norm(true_ab, axis=-1).mean()),
            ciede2000=float(deltaE_ciede2000(true_lab, lab).mean()),  # type: ignore[no-untyped-call]
            psnr=float(psnr),
            colorfulness=colorfulness(result),
            true_colorfulness=colorfulness(truth),
        )


@dataclass
class Accumulator:
    """Collects pictures one at a time; `figures` may be asked for at any moment after the first."""

    bins: AbBins = field(default_factory=AbBins.srgb)
    per_picture: list[PictureFigures] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._errors = np.zeros((len(self.bins), _THRESHOLDS + 1), np.int64)

    def add(self, truth: RgbImage, result: RgbImage) -> None:
        """Take in one picture.

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
        # Column t counts errors in (t - 1, t]; the last one those beyond all thresholds.
        column = np.minimum(np.ceil(error), _THRESHOLDS).astype(np.int64)
        flat = self.bins.index_of(true_lab[..., 1:]) * (_THRESHOLDS + 1) + column
        self._errors += np.bincount(flat.ravel(), minlength=self._errors.size).reshape(
            self._errors.shape
        )
        self.per_picture.append(PictureFigures.of(truth, result, true_lab, lab))

    def figures(self) -> Figures:
        """Return the figures of all pictures so far; nan where no pixel of any qualifies.

        Raises
        ------
        ValueError
            If there was none.
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
    """Return how colorful a picture looks, about 0 (gray) to 110 (extreme), as `GLOSSARY` has it.

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


def _occupied(cells: NDArray[np.int64]) -> int:
    """Return how many different cells occur."""
    a, b = cells[..., 0] + _CELLS, cells[..., 1] + _CELLS  # never negative
    return int(np.count_nonzero(np.bincount((a * 2 * _CELLS + b).ravel())))
