"""Color that does not flicker: each frame's answer, averaged with those before it. Pure.

References
----------
[Billaut2018] Billaut, de Rochemonteix, Thibault: ColorUNet, section on video: the distributions
    p_t are replaced by the sum over i of p_(t-i) exp(-alpha i).
[Kroeger2016] Kroeger, Timofte, Dai, Van Gool: Fast optical flow using dense inverse search, ECCV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np

from recolor_cli.types import FloatArray
from recolor_cli.video.scenes import THRESHOLD, scene_change

ALPHA = 0.2  # [Billaut2018]
_TRUSTED = 10.0  # L*; where the moved frame before differs by this, its color counts a third
_LEVELS_PER_LIGHTNESS = 2.55


@dataclass
class SmootherState:
    """What a smoother remembers of the frames so far; all of it is needed to go on later.

    Parameters
    ----------
    lightness : float32 array, shape (S, S), L* of the frame before
    total : float32 array, shape (h, w, C)
        The weighted sum of the answers.
    weight : float32 array, shape (h, w)
        The sum of their weights, at least 1.
    """

    lightness: FloatArray
    total: FloatArray
    weight: FloatArray


class TemporalSmoother:
    """Averages over time what a network says of each frame, along the motion, within a shot.

    Parameters
    ----------
    alpha : float
        Of the weights exp(-alpha i) of the i-th frame before, >= 0; infinite switches it off.
    scene_threshold : float
        `scene_change` at which a new shot begins.
    motion : bool
        Move what is remembered along the optical flow.
    """

    def __init__(
        self, alpha: float = ALPHA, scene_threshold: float = THRESHOLD, motion: bool = True
    ) -> None:
        self._keep = np.float32(np.exp(-alpha))
        self._scene_threshold = scene_threshold
        self._flow: Any = None
        if motion:
            self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self.inside = (slice(None), slice(None))  # where the picture is in the padded square
        self.state: SmootherState | None = None
        self.cuts = 0

    def step(self, lightness: FloatArray, answer: FloatArray) -> FloatArray:
        """Take the next frame and return its smoothed answer.

        Parameters
        ----------
        lightness : float32 array, shape (S, S), L* as the network saw it
        answer : float32 array, shape (h, w, C)
            Anything whose average makes sense: ab, or probabilities.

        Returns
        -------
        float32 array, shape (h, w, C)
        """
        before = self.state
        if before and self._is_cut(before.lightness, lightness):
            self.cuts += 1
            before = None
        total, weight = answer, np.ones(answer.shape[:2], np.float32)
        if before and self._keep:
            old_total, old_weight, trust = self._moved(before, lightness)
            trust *= self._keep
            total = answer + trust[..., None] * old_total
            weight = 1 + trust * old_weight
        self.state = SmootherState(lightness, total, weight)
        return total / weight[..., None]

    def _is_cut(self, before: FloatArray, after: FloatArray) -> bool:
        return scene_change(before[self.inside], after[self.inside]) > self._scene_threshold

    def _moved(
        self, before: SmootherState, lightness: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return total and weight where their things are now, and how far a place is the same."""
        shape = before.weight.shape
        seen, total, weight = before.lightness, before.total, before.weight
        if self._flow is not None:
            flow = self._flow.calc(_levels(lightness), _levels(seen), None)
            seen = warp(seen, flow)
            small = cv2.resize(flow, shape[::-1], interpolation=cv2.INTER_AREA)
            small *= np.array([shape[1] / flow.shape[1], shape[0] / flow.shape[0]], np.float32)
            total, weight = warp(total, small), warp(weight, small)
        change = cv2.resize(lightness - seen, shape[::-1], interpolation=cv2.INTER_AREA)
        change -= np.median(change)  # the whole frame got lighter: that is flicker
        return total, weight, np.exp(-np.square(change / np.float32(_TRUSTED)))


def _levels(lightness: FloatArray) -> np.ndarray:
    return cv2.convertScaleAbs(lightness, alpha=_LEVELS_PER_LIGHTNESS)


def warp(planes: FloatArray, flow: FloatArray) -> FloatArray:
    """Move planes along a flow: at x is then what was at x + flow(x).

    Parameters
    ----------
    planes : float32 array, shape (h, w) or (h, w, C)
    flow : float32 array, shape (h, w, 2)
        x and y, px.

    Returns
    -------
    array of the shape of `planes`
    """
    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    moved = cv2.remap(planes, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cast(FloatArray, moved)
