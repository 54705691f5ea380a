"""Average the predictions of successive frames, so that color does not flicker. Pure.

References
----------
[Billaut2018] Billaut, de Rochemonteix, Thibault: ColorUNet, section on video. They replace the
    distribution p_t by the sum over i of p_(t-i) exp(-alpha i).
[Kroeger2016] Kroeger, Timofte, Dai, Van Gool: Fast optical flow using dense inverse search, ECCV.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import cv2
import numpy as np

from recolor_cli.types import FloatArray
from recolor_cli.video.scenes import CUT_THRESHOLD, measure_difference

ALPHA = 0.2  # [Billaut2018]
# L*. Where the warped previous frame differs by this much, its color counts exp(-1), about a third.
_TRUST_SCALE = 10.0
_LEVELS_PER_LIGHTNESS = 2.55


class SmootherState(NamedTuple):
    """Everything that a smoother needs to continue after a frame.

    Parameters
    ----------
    lightness : float32 array, shape (H, W)
        L* of that frame in the canvas.
    total : float32 array, shape (h, w, C)
        Weighted sum of the predictions so far.
    weight : float32 array, shape (h, w)
        Sum of their weights, at least 1.
    """

    lightness: FloatArray
    total: FloatArray
    weight: FloatArray


class TemporalSmoother:
    """Average a network's predictions over the frames of a shot, along the motion.

    Parameters
    ----------
    alpha : float
        The i-th previous frame has the weight exp(-alpha i), alpha >= 0. Infinity disables it.
    scene_threshold : float
        `measure_difference` above which a new shot begins.
    motion : bool
        Move the sum of the previous frames along the optical flow.

    Attributes
    ----------
    inside : tuple of slice
        Rows and columns of the frame in the canvas.
    state : SmootherState or None
    cuts : int
        Number of cuts so far.
    """

    def __init__(
        self, alpha: float = ALPHA, scene_threshold: float = CUT_THRESHOLD, motion: bool = True
    ) -> None:
        self._keep = np.float32(np.exp(-alpha))
        self._scene_threshold = scene_threshold
        self._flow: Any = None
        if motion:
            self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self.inside = (slice(None), slice(None))
        self.state: SmootherState | None = None
        self.cuts = 0

    def smooth(self, lightness: FloatArray, prediction: FloatArray) -> FloatArray:
        """Add the next frame and return its smoothed prediction.

        Parameters
        ----------
        lightness : float32 array, shape (H, W)
            L* of the canvas that the network read.
        prediction : float32 array, shape (h, w, C)
            ab or probabilities.

        Returns
        -------
        float32 array, shape (h, w, C)
        """
        before = self.state
        if before and self.begins_shot(lightness):
            self.cuts += 1
            before = None
        total, weight = prediction, np.ones(prediction.shape[:2], np.float32)
        if before and self._keep:
            old_total, old_weight, trust = self._warp_state(before, lightness)
            trust *= self._keep
            total = prediction + trust[..., None] * old_total
            weight = 1 + trust * old_weight
        self.state = SmootherState(lightness, total, weight)
        return total / weight[..., None]

    def begins_shot(self, lightness: FloatArray) -> bool:
        """Tell whether the next frame, of this L* (H, W), is the first one or follows a cut."""
        if self.state is None:
            return True
        difference = measure_difference(self.state.lightness[self.inside], lightness[self.inside])
        return difference > self._scene_threshold

    def _warp_state(
        self, before: SmootherState, lightness: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return total and weight, moved along the flow, and how similar each place still is."""
        shape = before.weight.shape
        seen, total, weight = before.lightness, before.total, before.weight
        if self._flow is not None:
            flow = self._flow.calc(_to_bytes(lightness), _to_bytes(seen), None)
            seen = warp(seen, flow)
            small = cv2.resize(flow, shape[::-1], interpolation=cv2.INTER_AREA)
            small *= np.array([shape[1] / flow.shape[1], shape[0] / flow.shape[0]], np.float32)
            total, weight = warp(total, small), warp(weight, small)
        change = cv2.resize(lightness - seen, shape[::-1], interpolation=cv2.INTER_AREA)
        change -= np.median(change)  # ignore flicker, which changes the whole frame
        return total, weight, np.exp(-np.square(change / np.float32(_TRUST_SCALE)))


def _to_bytes(lightness: FloatArray) -> np.ndarray:
    """Convert L* to the uint8 levels that the optical flow reads."""
    return cv2.convertScaleAbs(lightness, alpha=_LEVELS_PER_LIGHTNESS)


def warp(planes: FloatArray, flow: FloatArray) -> FloatArray:
    """Move planes along a flow: the result at x is the value at x + flow(x).

    Parameters
    ----------
    planes : float32 array, shape (h, w) or (h, w, C)
    flow : float32 array, shape (h, w, 2)
        Horizontal and vertical displacement, px.

    Returns
    -------
    array of the shape of `planes`
    """
    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    moved = cv2.remap(planes, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cast(FloatArray, moved)
