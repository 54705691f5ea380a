"""Where one shot ends and the next begins, told from two neighbouring frames. Pure."""

from __future__ import annotations

import cv2

from recolor_cli.types import FloatArray

THRESHOLD = 0.6
_SIDE = 24  # px; so coarse that what moves within a shot hardly moves here
_FLAT = 2.0  # L*; below this standard deviation there is nothing to compare, as in black frames


def scene_change(before: FloatArray, after: FloatArray) -> float:
    """Return how much two frames differ, 0 (the same) to 2 (one is the other's negative).

    One minus the correlation of their thumbnails: a flicker of brightness or contrast, which old
    film is full of, does not change it.

    Parameters
    ----------
    before, after : float32 array, shape (H, W), L* in 0..100

    Returns
    -------
    float
        0 where one of them has no structure, as in a fade to black: it is no cut until there is
        a new picture, and then nothing of the old one is left to be compared.
    """
    one, two = (
        cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for frame in (before, after)
    )
    one, two = one - one.mean(), two - two.mean()
    spread = float(one.std()), float(two.std())
    if min(spread) < _FLAT:
        return 0.0
    return max(0.0, 1 - float((one * two).mean()) / (spread[0] * spread[1]))
