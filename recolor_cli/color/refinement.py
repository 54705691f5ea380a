"""Correct the color that a network predicted by what is known of all pictures."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from recolor_cli.color.flat_areas import unify_flat_areas
from recolor_cli.color.smoothstep import smoothstep
from recolor_cli.types import FloatArray

# L* from which color fades, L* at which it has faded, and the share of chroma that is left there.
_PAPER_FROM, _PAPER_TO, _PAPER_SHARE = 90.0, 97.0, 0.4


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

    Notes
    -----
    The share is the factor that fits the true colors best: on 150 posters of the validation
    pictures it falls from 0.8 at L* 90, where it is as everywhere, to 0.3 at 97. The predicted
    color of lighter pixels is farther from the truth than gray is.
    """
    height, width = ab.shape[:2]
    coarse = cast(FloatArray, cv2.resize(lightness, (width, height), interpolation=cv2.INTER_AREA))
    if coarse.max() <= _PAPER_FROM:
        return ab
    fading = smoothstep((coarse - _PAPER_FROM) / (_PAPER_TO - _PAPER_FROM))
    return ab * (1 - np.float32(1 - _PAPER_SHARE) * fading)[..., None]
