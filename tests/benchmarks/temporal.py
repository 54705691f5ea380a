"""Measure how steady the color of a film is. Pure.

References
----------
[ColorMNet] Yang et al.: ColorMNet, ECCV 2024, and its released code, for CDC.
[TCVC] Liu et al.: Temporally consistent video colorization, 2021, which introduced CDC.
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
# Largest distance of a pixel from the end of its flow there and back: px, and px per px of flow.
_SLACK, _SLOPE = 0.5, 0.1


def histogram(rgb: RgbImage) -> NDArray[np.float64]:
    """Return the share of each level in each channel, float64, shape (3, 256)."""
    counts = [np.bincount(rgb[..., channel].ravel(), minlength=256) for channel in range(3)]
    shares: NDArray[np.float64] = np.array(counts) / (rgb.shape[0] * rgb.shape[1])
    return shares


def color_distribution_consistency(histograms: Sequence[NDArray[np.float64]]) -> float:
    """Return CDC of one shot: how much its colors as a whole change over time. Lower is steadier.

    It is the mean Jensen-Shannon divergence (nats) of the histograms of frames 1, 2 and 4 apart,
    over channels, pairs and the three distances. It counts changes of the scene, too, so that the
    true colors do not have 0.

    Parameters
    ----------
    histograms : sequence of float64 arrays, shape (3, 256)
        Histograms of more than four frames, in order.
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
    """The optical flow between two frames, computed from their lightness.

    The flow is DIS at its finest setting and twice the size; temporal smoothing uses a coarser one.

    Parameters
    ----------
    before, after : float32 arrays, shape (H, W), L* in 0..100
        Frames of the source, so that all colorings are measured along the same motion.
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
        miss = np.linalg.norm(back + self._warp(forth), axis=-1)
        self._in_both = miss < _SLACK + _SLOPE * np.linalg.norm(back, axis=-1)

    def _warp(self, planes: FloatArray) -> FloatArray:
        moved = cv2.remap(
            planes, self._x, self._y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return cast(FloatArray, moved)

    def warp_error(self, before: FloatArray, after: FloatArray) -> float:
        """Return the mean change of color along the motion: distance in ab, CIELAB units.

        Parameters
        ----------
        before, after : float32 arrays, shape (H, W, 2)
            ab of the two frames.

        Returns
        -------
        float
            Mean over the pixels that are visible in both frames: their flow there and back ends
            where it began. NaN if there are none.
        """
        change = np.linalg.norm(after - self._warp(before), axis=-1)[self._in_both]
        return float(change.mean()) if change.size else float("nan")
