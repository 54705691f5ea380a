"""Find the few colors that a distribution thinks likely at a place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.types import FloatArray

_RADIUS = 14.0  # ab units; bins so near to each other are one color
_APART = 18.0  # ab units between colors that are told apart
_LEAST_SHARE = 0.002  # of the probability; what is less likely is no suggestion


@dataclass(frozen=True, slots=True)
class LikelyColor:
    """A color and how likely it is.

    Parameters
    ----------
    a, b : float
        CIELAB units, with the factors of the prediction.
    share : float
        Of the probability, 0..1.
    """

    a: float
    b: float
    share: float


def likely_colors(
    probabilities: FloatArray, bins: AbBins, factor: float, count: int
) -> list[LikelyColor]:
    """Return colors that differ clearly, the most likely first.

    Parameters
    ----------
    probabilities : float32 array, shape (Q,)
        Their sum is 1.
    bins : AbBins
    factor : float
        Factor on ab before it is shown.
    count : int
        How many to return at most.

    Notes
    -----
    Bins around a mode belong to it: the color is their mean, and its share their sum. Then the mode
    of the bins that are left is next.
    """
    centers = bins.centers
    distance = np.sqrt(np.square(centers[:, None] - centers).sum(axis=-1))
    near = (distance <= _RADIUS).astype(np.float32)
    left = probabilities.astype(np.float32).copy()
    found: list[FloatArray] = []
    colors: list[LikelyColor] = []
    while len(colors) < count:
        mode = int((near @ left).argmax())
        members = near[mode] * left
        share = float(members.sum())
        if share < _LEAST_SHARE:
            break
        mean = (members @ centers) / share
        left = left * (1 - near[mode])
        if all(np.linalg.norm(mean - other) >= _APART for other in found):
            found.append(mean)
            a, b = (float(value) * factor for value in mean)
            colors.append(LikelyColor(a, b, share))
    return colors
