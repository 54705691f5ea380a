"""Correct the color that a network predicted by what is known of all pictures."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from recolor_cli.color.flat_areas import unify_flat_areas
from recolor_cli.color.smoothstep import smoothstep
from recolor_cli.types import FloatArray

# L* from which color fades, L* at which it has faded, and the share of chroma that is left there.
_PAPER_FROM, _PAPER_TO, _PAPER_SHARE = 86.0, 97.0, 0.25
# Chroma from which a light color may be meant, and from which it is, such as a deep yellow ground.
_DEEP_FROM, _DEEP_TO = 30.0, 70.0
# Chroma from which a rim of paper is seen, and from which it fades as the paper does; and the
# difference from the paper's ab, in ab units, at which a pixel fades by 0.6 of that.
_RIM_FROM, _RIM_TO, _RIM_LIKENESS = 10.0, 20.0, 10.0


def refine(ab: FloatArray, lightness: FloatArray, inside: tuple[slice, slice]) -> FloatArray:
    """Give each flat area one color, and paper less of it.

    Parameters
    ----------
    ab, lightness, inside
        As for `unify_flat_areas`.

    Returns
    -------
    float32 array, shape (h, w, 2)
    """
    return fade_paper(unify_flat_areas(ab, lightness, inside), lightness)


def fade_paper(ab: FloatArray, lightness: FloatArray) -> FloatArray:
    """Reduce the chroma of what is nearly white, such as paper and letters.

    Parameters
    ----------
    ab, lightness
        As for `unify_flat_areas`.

    Returns
    -------
    float32 array, shape (h, w, 2)
        A pixel that is darker because ink covers a part of it fades too if its color is that of the
        paper beside it. Else white paper would have a yellow rim around its letters.

    Notes
    -----
    A light color with a chroma of 10 to 35 is mostly a wrong guess for white: at L* of at least 93
    the factor that fits the true color best is 0.2 in the median of 99 posters and of 41
    photographs. Of a chroma of at least 50, from L* 88 on, it is 0.6 on posters.
    """
    height, width = ab.shape[:2]
    coarse = cv2.resize(lightness, (width, height), interpolation=cv2.INTER_AREA)
    if coarse.max() <= _PAPER_FROM:
        return ab
    paper = smoothstep((cast(FloatArray, coarse) - _PAPER_FROM) / (_PAPER_TO - _PAPER_FROM))
    chroma = cast(FloatArray, cv2.magnitude(ab[..., 0], ab[..., 1]))
    fading = _add_rims(paper, ab, chroma)
    fading *= 1 - smoothstep((chroma - _DEEP_FROM) / (_DEEP_TO - _DEEP_FROM))
    return ab * (1 - np.float32(1 - _PAPER_SHARE) * fading)[..., None]


def _add_rims(paper: FloatArray, ab: FloatArray, chroma: FloatArray) -> FloatArray:
    """Return how much each pixel is paper or has the color of paper beside it, 0..1, (h, w)."""
    nearest = cv2.dilate(paper, np.ones((3, 3), np.uint8))
    rims = np.flatnonzero((nearest > paper) & (chroma > _RIM_FROM))
    if not len(rims):
        return paper
    near = cv2.blur(cv2.merge((ab[..., 0] * paper, ab[..., 1] * paper, paper)), (3, 3))
    of_paper = near.reshape(-1, 3).take(rims, axis=0)
    distance = ab.reshape(-1, 2).take(rims, axis=0) - of_paper[:, :2] / of_paper[:, 2:]
    likeness = np.exp(np.square(distance).sum(axis=1) / np.float32(-2 * _RIM_LIKENESS**2))
    tinted = smoothstep((chroma.take(rims) - _RIM_FROM) / (_RIM_TO - _RIM_FROM))
    fading = paper.ravel().copy()
    fading[rims] = np.maximum(fading[rims], nearest.take(rims) * likeness * tinted)
    return fading.reshape(paper.shape)
