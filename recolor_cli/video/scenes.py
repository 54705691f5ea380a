"""Detect cuts: measure how much two neighbouring frames differ. Pure."""

from __future__ import annotations

import cv2

from recolor_cli.types import FloatArray

CUT_THRESHOLD = 0.6  # difference from which two frames belong to different shots
_SIDE = 24  # px; motion within a shot hardly shows in so coarse a thumbnail
_FLAT = 2.0  # L*; frames of a lower standard deviation (black ones) have nothing to compare


def measure_difference(before: FloatArray, after: FloatArray) -> float:
    """Return the difference of two frames, 0 (equal) to 2 (one is the other's negative).

    It is 1 minus the correlation of their thumbnails, so that flicker of brightness or contrast,
    which is common in old film, does not change it.

    Parameters
    ----------
    before, after : float32 array, shape (H, W), L* in 0..100

    Returns
    -------
    float
        0 if one frame is flat. A fade to black is not a cut, and the frame after it has nothing to
        be compared with.
    """
    one, two = (
        cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for frame in (before, after)
    )
    one, two = one - one.mean(), two - two.mean()
    spread = float(one.std()), float(two.std())
    if min(spread) < _FLAT:
        return 0.0
    return max(0.0, 1 - float((one * two).mean()) / (spread[0] * spread[1]))
