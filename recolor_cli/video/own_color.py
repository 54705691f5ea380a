"""Keep a film's own color: everywhere in part, where it is not gray, or outside a mask."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np

from recolor_cli.color.gray_detection import Grayness, detect_gray
from recolor_cli.color.resize import resize_mask, shrunk_size
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.types import AnyRgbImage, FloatArray, ImageSize
from recolor_cli.video.frames import FrameGeometry, convert_frame

_ANALYSIS_SIDE = 256  # px, the longest side of a frame in which gray is looked for
_FOLLOW = 0.1  # share of each new frame in what is known of the grays of a shot


class OwnColor:
    """The share of new color that each place of a frame gets.

    Parameters
    ----------
    options : RecolorOptions
        `keep_original`, `only_gray` and `mask` are used. The mask must have the film's shape.
    geometry : FrameGeometry

    Attributes
    ----------
    only_gray : bool
        Whether the frames' grays are needed.
    """

    def __init__(self, options: RecolorOptions, geometry: FrameGeometry) -> None:
        self.only_gray = options.only_gray
        self._new_share = np.float32(1 - options.keep_original)
        self._mask = options.mask
        if self._mask is not None:
            self._mask = np.ascontiguousarray(np.rot90(self._mask, -geometry.turns))

    @property
    def keeps_any(self) -> bool:
        """Whether any color of the film is kept."""
        return self.only_gray or self._mask is not None or bool(self._new_share < 1)

    def shares(
        self, frame: av.VideoFrame, size: ImageSize, grayness: Grayness | None
    ) -> FloatArray:
        """Return the share of the new color, 0..1, at each place of a chroma plane.

        Parameters
        ----------
        frame : VideoFrame
            With its own color.
        size : ImageSize
            Of the chroma plane, px.
        grayness : Grayness or None
            Of the shot; needed for `only_gray`.

        Returns
        -------
        float32 array, shape (h, w)
        """
        share: FloatArray = np.full((size.height, size.width), self._new_share, np.float32)
        if self._mask is not None:
            share *= resize_mask(self._mask, size).astype(np.float32) / np.float32(255)
        if grayness is not None:
            weights = grayness.weights(_to_rgb(frame, size))
            share *= weights.astype(np.float32) / np.float32(255)
        return share


def measure_grayness(frame: av.VideoFrame) -> Grayness:
    """Measure where a frame is gray."""
    return detect_gray(
        _to_rgb(frame, shrunk_size(ImageSize(frame.height, frame.width), _ANALYSIS_SIDE))
    )


class ShotGrayness:
    """The grays of a shot: the mean over its frames, so that no place flickers.

    Attributes
    ----------
    state : dict of str to float array
        What must be kept to continue after a frame; empty before the first one.
    """

    def __init__(self) -> None:
        self.state: dict[str, FloatArray] = {}

    def update(self, grayness: Grayness, begins_shot: bool) -> Grayness:
        """Add the next frame and return the grays of its shot so far."""
        new = {
            "gray_tone": grayness.coefficients.astype(np.float32),
            "gray_parts": grayness.gray_parts.astype(np.float32),
            "gray_figures": np.array(
                (grayness.spread, grayness.tone_chroma, grayness.gray_share), np.float32
            ),
        }
        if self.state and not begins_shot:
            new = {
                name: self.state[name] + np.float32(_FOLLOW) * (array - self.state[name])
                for name, array in new.items()
            }
        self.state = new
        spread, tone_chroma, gray_share = map(float, new["gray_figures"])
        return replace(
            grayness,
            spread=spread,
            tone_chroma=tone_chroma,
            gray_share=gray_share,
            coefficients=new["gray_tone"].astype(np.float64),
            gray_parts=np.rint(new["gray_parts"]).astype(np.uint8),
        )


def _to_rgb(frame: av.VideoFrame, size: ImageSize) -> AnyRgbImage:
    small = convert_frame(frame, width=size.width, height=size.height, format="rgb24")
    return np.ascontiguousarray(small.to_ndarray())
