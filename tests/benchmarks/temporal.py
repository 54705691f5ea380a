"""Figures that say how steady the color of a film is. Pure.

References
----------
[ColorMNet] Yang et al.: ColorMNet, ECCV 2024, and its released code, for CDC; first in
[TCVC] Liu et al.: Temporally consistent video colorization, 2021.
[Lai2018] Lai et al.: Learning blind video temporal consistency, ECCV, for the warping error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.types import FloatArray, RgbImage

_DISTANCES = (1, 2, 4)  # frames [ColorMNet]
_SLACK, _SLOPE = 0.5, 0.1  # px, and px a px of motion: how far a flow there and back may miss


def histogram(rgb: RgbImage) -> NDArray[np.float64]:
    """Return the share of each level in each channel, float64, shape (3, 256)."""
    counts = [np.bincount(rgb[..., channel].ravel(), minlength=256) for channel in range(3)]
    shares: NDArray[np.float64] = np.array(counts) / (rgb.shape[0] * rgb.shape[1])
    return shares


def color_distribution_consistency(histograms: Sequence[NDArray[np.float64]]) -> float:
    """Return CDC of one shot: how much the colors as a whole change over time; lower is steadier.

    The Jensen-Shannon divergence (nats) of the histograms of frames 1, 2 and 4 apart, averaged over
    channels, pairs and the three distances. It also counts what truly changes, so the true colors
    do not have 0.

    Parameters
    ----------
    histograms : sequence of float64 arrays, shape (3, 256)
        Of the frames in their order; more than four.
    """
    stacked = np.array(histograms)
    means = [_divergence(stacked[d:], stacked[:-d]).mean() for d in _DISTANCES]
    return float(np.mean(means))


def _divergence(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = (one + two) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(p > 0, p * np.log(p / middle), 0).sum(axis=-1) for p in (one, two)]
    return np.asarray((parts[0] + parts[1]) / 2)


class Motion:
    """Where the things of one frame were in the frame before, told from lightness alone.

    Parameters
    ----------
    before, after : float32 arrays, shape (H, W), L* in 0..100
        Of the source, so that all ways of coloring it are measured along the same motion. The flow
        is DIS at its finest setting and twice the size, which is not the one that smoothing uses.
    """

    def __init__(self, before: FloatArray, after: FloatArray) -> None:
        finder: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        one, two = (
            cv2.convertScaleAbs(cv2.resize(frame, None, fx=2, fy=2), alpha=2.55)
            for frame in (before, after)
        )
        shape = after.shape[::-1]
        back, forth = (
            cv2.resize(finder.calc(*pair, None), shape, interpolation=cv2.INTER_AREA)
            / np.float32(2)
            for pair in ((two, one), (one, two))
        )
        height, width = after.shape
        self._x = back[..., 0] + np.arange(width, dtype=np.float32)
        self._y = back[..., 1] + np.arange(height, dtype=np.float32)[:, None]
        miss = np.linalg.norm(back + self._moved(forth), axis=-1)
        self._seen_twice = miss < _SLACK + _SLOPE * np.linalg.norm(back, axis=-1)

    def _moved(self, planes: FloatArray) -> FloatArray:
        moved = cv2.remap(
            planes, self._x, self._y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return cast(FloatArray, moved)

    def warp_error(self, before: FloatArray, after: FloatArray) -> float:
        """Return by how much things changed their color: mean distance in ab, CIELAB units.

        Parameters
        ----------
        before, after : float32 arrays, shape (H, W, 2)
            ab of the two frames.

        Returns
        -------
        float
            Over the pixels that are seen in both: whose flow there and back comes to where it
            began. NaN if there is none.
        """
        change = np.linalg.norm(after - self._moved(before), axis=-1)[self._seen_twice]
        return float(change.mean()) if change.size else float("nan")
