"""One picture in memory, one recolored picture out: the heart of the program."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from recolor_cli.color.blend import BlendMask
from recolor_cli.color.lab import rgb_to_lightness
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.color.painting import paint
from recolor_cli.errors import InferenceError, InputError, ModelError
from recolor_cli.guidance.prediction import Prediction, Steering
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.model.color_network import ColorNetwork, DistributionNetwork
from recolor_cli.types import AnyRgbImage, FloatArray, ImageSize

MIN_SIDE = 8  # px; in less there is nothing for a network to see
_BAND_PIXELS = 1 << 20  # what is halved at a time


@dataclass
class StageTimings:
    """Seconds that each stage of one recoloring took."""

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str) -> None:
        """Book the time since the last lap on `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now


class Recolorizer:
    """A network and how it is to be used; safe to share between threads.

    Parameters
    ----------
    network : str, Path or ColorNetwork
        A model by name or path, which is then run on the best device there is; or a network.
    options : RecolorOptions
        Temperature and strength.

    Raises
    ------
    ModelError, DeviceError
        If a model is named and cannot be run.

    Examples
    --------
    >>> recolorizer = Recolorizer("poster")  # doctest: +SKIP
    >>> new = recolorizer.recolor(rgb)  # (H, W, 3) uint8 in and out  # doctest: +SKIP
    """

    def __init__(
        self, network: str | Path | ColorNetwork = "poster", options: RecolorOptions | None = None
    ) -> None:
        if isinstance(network, (str, Path)):
            # Not needed by whoever brings a network of their own.
            from recolor_cli.model.onnx_network import OnnxColorNetwork

            network = OnnxColorNetwork.load(network)
        self.network = network
        self.options = options or RecolorOptions()

    def recolor(
        self, rgb: AnyRgbImage, timings: StageTimings | None = None, in_place: bool = False
    ) -> AnyRgbImage:
        """Give a picture new color; its lightness stays.

        Parameters
        ----------
        rgb : uint8 or uint16 array, shape (H, W, 3)
            sRGB. What color it has is not looked at.
        timings : StageTimings or None
            Where to book the time.
        in_place : bool
            Put the result where the picture was, which saves its memory.

        Returns
        -------
        array of the same shape and dtype
            Of 16 bits, the lightness is computed and kept at 16 bits.

        Raises
        ------
        InputError
            If a side is shorter than `MIN_SIDE`.
        InferenceError
            If the network fails, or answers with something that is not a number.
        ValueError
            If `rgb` is not of such a shape or dtype.
        """
        timings = timings or StageTimings()
        ab = self.predict(rgb, timings)
        result = self.paint(rgb, ab, rgb if in_place else None)
        timings.lap("color")
        return result

    def predict(self, rgb: AnyRgbImage, timings: StageTimings | None = None) -> FloatArray:
        """Ask the network for color, the first half of `recolor`.

        Parameters
        ----------
        rgb, timings
            As for `recolor`.

        Returns
        -------
        float32 array, shape (h, w, 2)
            ab in CIELAB units over the letterboxed square, with the strength applied.

        Raises
        ------
        InputError, InferenceError, ValueError
            As `recolor`.
        """
        timings = timings or StageTimings()
        if self.options.steering:
            (steered,) = self.predict_distribution(rgb, timings).variants(1)
            timings.lap("steering")
            return steered
        tensor = self._tensor(rgb, timings)
        ab: FloatArray = predict_ab(self.network, tensor, self.options)[0].transpose(1, 2, 0)
        timings.lap("network")
        return ab

    def predict_distribution(
        self, rgb: AnyRgbImage, timings: StageTimings | None = None
    ) -> Prediction:
        """Ask the network for all that it thinks of a picture, not for one color alone.

        Parameters
        ----------
        rgb, timings
            As for `recolor`.

        Returns
        -------
        Answer
            Whose `variants` can be given to `paint`.

        Raises
        ------
        InputError, InferenceError, ValueError
            As `recolor`.
        ModelError
            If the network gives one color only.
        """
        timings = timings or StageTimings()
        network, options = self.network, self.options
        if not isinstance(network, DistributionNetwork):
            raise ModelError(
                f"the model {network.manifest.name} gives one color, not a choice of colors",
                "use a classification model of ours, such as poster",
            )
        tensor = self._tensor(rgb, timings)
        distribution = network.distribution(tensor)
        _check_finite(distribution.logits)
        timings.lap("network")
        return Prediction(
            distribution=distribution,
            lightness=tensor[0, 0],
            box=self._box(rgb),
            temperature=self._temperature,
            scale=network.manifest.strength,
            strength=options.strength,
            steering=options.steering or Steering(),
        )

    @property
    def _temperature(self) -> float:
        return self.options.temperature or self.network.manifest.temperature

    def _tensor(self, rgb: AnyRgbImage, timings: StageTimings) -> FloatArray:
        if rgb.dtype not in (np.uint8, np.uint16) or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ValueError(f"expected uint8 or uint16 (H, W, 3), not {rgb.dtype} {rgb.shape}")
        tensor = network_input(rgb, self._box(rgb), self.network.manifest.pad_lightness)
        timings.lap("lightness")
        return tensor

    def paint(
        self, rgb: AnyRgbImage, ab: FloatArray, out: AnyRgbImage | None = None
    ) -> AnyRgbImage:
        """Give a picture the color that `predict` returned for one of its size.

        Parameters
        ----------
        rgb : uint8 or uint16 array, shape (H, W, 3), sRGB
            Its lightness stays.
        ab : float32 array, shape (h, w, 2), CIELAB units
        out : array of the same shape and dtype, or None
            Where to put the result; it may be `rgb`.

        Returns
        -------
        array of the same shape and dtype
        """
        result = np.empty_like(rgb) if out is None else out
        options = self.options
        own = BlendMask.of(rgb, options.keep_original, options.only_gray, options.mask)
        paint(rgb, self._box(rgb).upsample(ab), result, own)
        return result

    def _box(self, rgb: AnyRgbImage) -> Letterbox:
        """Return where the picture lies in the network's square, if it is large enough."""
        source = ImageSize(rgb.shape[0], rgb.shape[1])
        check_size(source)
        return self.network.manifest.box(source)


def check_size(size: ImageSize) -> None:
    """Raise InputError if a side is shorter than `MIN_SIDE`."""
    if min(size.height, size.width) < MIN_SIDE:
        raise InputError(
            f"{size} pixels are too few to recolor; the least is {MIN_SIDE} a side",
            "leave it out, or enlarge it",
        )


def predict_ab(network: ColorNetwork, tensor: FloatArray, options: RecolorOptions) -> FloatArray:
    """Predict the ab of a minibatch, and apply the strengths of the model and of the user.

    Parameters
    ----------
    network : ColorNetwork
    tensor : float32 array, shape (N, 1, H, W)
        As `network_input` makes it.
    options : RecolorOptions

    Returns
    -------
    float32 array, shape (N, 2, h, w), CIELAB units

    Raises
    ------
    InferenceError
        If the network fails, or its output is not finite.
    """
    ab = network.predict(tensor, options.temperature or network.manifest.temperature)
    _check_finite(ab)
    return ab * np.float32(options.strength * network.manifest.strength)


def _check_finite(answer: FloatArray) -> None:
    if not np.isfinite(answer).all():
        raise InferenceError(
            "the network's answer is not a number", "try --device cpu, or another model"
        )


def network_input(rgb: AnyRgbImage, box: Letterbox, pad_lightness: float) -> FloatArray:
    """Make the tensor that a network reads; the one way there, for run and validation.

    Parameters
    ----------
    rgb : uint8 array, shape (H, W, 3), the source of `box`
    box : Letterbox
    pad_lightness : float
        L* of the padding, 0..100.

    Returns
    -------
    float32 array, shape (1, 1, size, size)
        L*, 0..100.
    """
    inner = box.inner
    # Halving is the one shrinking by area that OpenCV does fast. What it halves must not be seen:
    # at least two pixels are left for each of the network's.
    times = 0
    while all(
        side >> times >= 4 * wanted
        for side, wanted in zip(rgb.shape, (inner.height, inner.width), strict=False)
    ):
        times += 1
    small = _halved(rgb, times)
    size = inner.width, inner.height
    if inner.height < small.shape[0]:
        # Of floats OpenCV takes the mean faster, and it is the same one.
        means = cv2.resize(small.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        small = np.rint(means).astype(rgb.dtype)
    else:
        small = cast(AnyRgbImage, cv2.resize(small, size, interpolation=cv2.INTER_LINEAR))
    return box.apply(rgb_to_lightness(small), pad_lightness)[None, None]


def _halved(rgb: AnyRgbImage, times: int) -> AnyRgbImage:
    """Return a picture halved so often; rows and columns that are over are left out."""
    if not times:
        return rgb
    height, width = rgb.shape[0] >> times, rgb.shape[1] >> times
    result = np.empty((height, width, 3), rgb.dtype)
    rows = max(1, _BAND_PIXELS // ((width << times) << times))
    for start in range(0, height, rows):  # the first half would be a quarter of the picture
        stop = min(start + rows, height)
        band = rgb[start << times : stop << times, : width << times]
        for _ in range(times):
            half = band.shape[1] // 2, band.shape[0] // 2
            band = cast(AnyRgbImage, cv2.resize(band, half, interpolation=cv2.INTER_AREA))
        result[start:stop] = band
    return result
