"""Recolor one picture in memory: predict its color with a network, and paint it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from PIL import Image

from recolor_cli.color.blend import BlendMask
from recolor_cli.color.lab import rgb_to_lightness
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.color.painting import paint
from recolor_cli.color.refinement import refine
from recolor_cli.color.resize import check_ab_fit, check_mask_fit
from recolor_cli.color.row_strips import map_row_strips
from recolor_cli.errors import InferenceError, InputError
from recolor_cli.guidance.prediction import ColorFactors, Prediction
from recolor_cli.guidance.recolor_options import RecolorOptions, Steering
from recolor_cli.image.given_picture import GivenPicture, Picture, take_picture
from recolor_cli.model.color_network import ColorNetwork, DistributionNetwork
from recolor_cli.model.manifest import no_distribution
from recolor_cli.types import AnyPlanes, AnyRgbImage, FloatArray, ImageSize

MIN_SIDE = 8  # px; a network recognizes nothing in less
_STRIP_PIXELS = 1 << 20  # pixels of the picture that are halved at a time


@dataclass
class StageTimings:
    """Seconds that each stage of one recoloring took."""

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now


class Recolorizer:
    """A network with the options of a recoloring; safe to share between threads.

    Parameters
    ----------
    network : str, Path or ColorNetwork
        The name or path of a model, or the `network` of another Recolorizer.
    options : RecolorOptions or None
        None takes the defaults.
    device : str
        What a model that is named runs on: ``auto`` (CUDA where it works, else the CPU), ``cpu``,
        ``cuda`` or ``cuda:N``.

    Raises
    ------
    ModelError, DeviceError
        If a model is named and cannot be run.
    UsageError
        If there is no such kind of device.
    TypeError
        If the network is something else.

    Notes
    -----
    All methods take pictures as arrays, uint8 or uint16, sRGB, (H, W) for gray or (H, W, 3), or as
    `PIL.Image.Image`, in any mode but ``I``, ``F`` and ``LAB``. Arrays make arrays (H, W, 3) of the
    same dtype. Pictures of Pillow's make such of mode RGB, or RGBA where the picture has opacity.
    All methods raise TypeError or ValueError for other pictures, and InputError if a side is
    shorter than `MIN_SIDE`.

    Examples
    --------
    >>> recolorizer = Recolorizer("poster", device="cpu")
    >>> recolorizer.recolor(np.full((60, 40), 128, np.uint8)).shape
    (60, 40, 3)
    """

    def __init__(
        self,
        network: str | Path | ColorNetwork = "poster",
        options: RecolorOptions | None = None,
        device: str = "auto",
    ) -> None:
        if isinstance(network, (str, Path)):
            # Imported here because callers with a network of their own need no onnxruntime.
            from recolor_cli.model.onnx_network import OnnxColorNetwork

            network = OnnxColorNetwork.load(network, device)
        elif not isinstance(network, ColorNetwork):
            raise TypeError(
                "expected the name or path of a model, or the network of another Recolorizer, "
                f"not {type(network).__name__}"
            )
        self.network = network
        self.options = options or RecolorOptions()

    def recolor(
        self, picture: Picture, timings: StageTimings | None = None, in_place: bool = False
    ) -> Picture:
        """Give a picture new color and keep its lightness.

        Parameters
        ----------
        picture : array or PIL.Image.Image
            The network reads its lightness only.
        timings : StageTimings or None
            Receives the seconds of each stage.
        in_place : bool
            Write the result into `picture`, an array (H, W, 3), which saves memory.

        Returns
        -------
        array or PIL.Image.Image, of the same size

        Raises
        ------
        InferenceError
            If the network fails, or its output is not finite.
        ModelError
            If the options have a palette or hints, and the network predicts one color only.
        """
        timings = timings or StageTimings()
        given = take_picture(picture)
        ab = self.predict(given.rgb, timings)
        result = self.paint(given.rgb, ab, _output(picture, given) if in_place else None)
        timings.lap("color")
        if in_place and isinstance(picture, np.ndarray):
            if result is not picture:  # its layout is none that can be painted into
                picture[...] = result
            return picture
        return cast(Picture, given.like_original(result))

    def variants(self, picture: Picture, count: int) -> list[Picture]:
        """Return different colorings of a picture; the first is the network's own.

        Parameters
        ----------
        picture : array or PIL.Image.Image
        count : int
            1 to 16. `Steering.seed` says which ones.

        Raises
        ------
        InferenceError
            As `recolor`.
        ModelError
            If the network predicts one color only.
        ValueError
            If the count is out of its range, too.
        """
        given = take_picture(picture)
        colorings = self.predict_distribution(given.rgb).variants(count)
        painted = (self.paint(given.rgb, ab) for ab in colorings)
        return [given.like_original(rgb) for rgb in painted]

    def predict(
        self, picture: AnyPlanes | Image.Image, timings: StageTimings | None = None
    ) -> FloatArray:
        """Predict the color of a picture, the first half of `recolor`.

        Parameters
        ----------
        picture, timings
            As for `recolor`, which raises the same errors.

        Returns
        -------
        float32 array, shape (h, w, 2)
            ab in CIELAB units over the letterboxed canvas, with all factors applied.
        """
        timings = timings or StageTimings()
        rgb = take_picture(picture).rgb
        if self.options.steering:
            steered = self.predict_distribution(rgb, timings).picked()
            timings.lap("steering")
            return steered
        letterbox = self._letterbox(rgb)
        tensor = self._network_input(rgb, letterbox, timings)
        ab: FloatArray = predict_ab(self.network, tensor, self.options)[0].transpose(1, 2, 0)
        if self.network.manifest.refined:
            ab = refine(ab, tensor[0, 0], letterbox.inside)
        timings.lap("network")
        return ab

    def predict_distribution(
        self, picture: AnyPlanes | Image.Image, timings: StageTimings | None = None
    ) -> Prediction:
        """Predict how likely each color is at each place of a picture.

        Parameters
        ----------
        picture, timings
            As for `recolor`, which raises the same errors.

        Returns
        -------
        Prediction
            Its `variants` can be given to `paint`.

        Raises
        ------
        ModelError
            If the network predicts one color only.
        """
        timings = timings or StageTimings()
        network, options = self.network, self.options
        if not isinstance(network, DistributionNetwork):
            raise no_distribution(network.manifest.name)
        rgb = take_picture(picture).rgb
        letterbox = self._letterbox(rgb)
        tensor = self._network_input(rgb, letterbox, timings)
        distribution = network.distribution(tensor)
        _check_finite(distribution.logits)
        timings.lap("network")
        return Prediction(
            distribution=distribution,
            lightness=tensor[0, 0],
            letterbox=letterbox,
            temperature=_temperature(network, options),
            factors=ColorFactors(
                model=network.manifest.strength,
                user=options.strength,
                network=float(distribution.factor[0]),
            ),
            steering=options.steering or Steering(),
            refined=network.manifest.refined,
        )

    def paint(self, picture: Picture, ab: FloatArray, out: AnyRgbImage | None = None) -> Picture:
        """Paint a picture with the color that `predict` returned for one of its size.

        Parameters
        ----------
        picture : array or PIL.Image.Image
            Its lightness stays.
        ab : float32 array, shape (h, w, 2), CIELAB units
            Over the letterboxed canvas.
        out : array (H, W, 3) of the same dtype, or None
            Receives the result; it may be `picture`.

        Returns
        -------
        array or PIL.Image.Image, of the same size

        Raises
        ------
        InputError
            If `ab` is of another shape, of another canvas, or not finite.
        ValueError
            If `out` has another shape or dtype.
        """
        given, options = take_picture(picture), self.options
        rgb = given.rgb
        letterbox = self._letterbox(rgb)
        check_ab_fit(ab, letterbox.canvas)
        result = np.empty_like(rgb) if out is None else out
        blend_mask = BlendMask.for_picture(
            rgb, options.keep_original, options.only_gray, options.mask
        )
        paint(rgb, letterbox.upsample(ab), result, blend_mask)
        return cast(Picture, given.like_original(result))

    def _network_input(
        self, rgb: AnyRgbImage, letterbox: Letterbox, timings: StageTimings
    ) -> FloatArray:
        tensor = network_input(rgb, letterbox, self.network.manifest.pad_lightness)
        timings.lap("lightness")
        return tensor

    def _letterbox(self, rgb: AnyRgbImage) -> Letterbox:
        source = ImageSize(rgb.shape[0], rgb.shape[1])
        check_size(source)
        return self.network.manifest.box(source)


def _output(picture: object, given: GivenPicture) -> AnyRgbImage | None:
    """Return the array to paint into, if a result can take a picture's place; None of a copy.

    Raises
    ------
    ValueError
        If it has no room for color, or must not be written to.
    """
    if not isinstance(picture, np.ndarray) or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError("in_place needs an array (H, W, 3)")
    if not picture.flags.writeable:
        raise ValueError("in_place needs an array that may be written to")
    return given.rgb if given.rgb is picture else None


def check_size(size: ImageSize) -> None:
    """Raise InputError if a picture or frame has a side shorter than `MIN_SIDE`."""
    if min(size.height, size.width) < MIN_SIDE:
        raise InputError(
            f"{size} pixels are too few to recolor; the least is {MIN_SIDE} a side",
            "leave it out, or enlarge it",
        )


def check_fit(size: ImageSize, options: RecolorOptions) -> None:
    """Raise InputError if the mask or a hint does not fit a picture of this size."""
    if options.mask is not None:
        check_mask_fit(options.mask, size)
    if options.steering and options.steering.hints:
        options.steering.hints.check_fit(size)


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
    ab = network.predict(tensor, _temperature(network, options))
    _check_finite(ab)
    factors = ColorFactors(model=network.manifest.strength, user=options.strength)
    return ab * np.float32(factors.total)


def _temperature(network: ColorNetwork, options: RecolorOptions) -> float:
    return options.temperature or network.manifest.temperature


def _check_finite(output: FloatArray) -> None:
    if not np.isfinite(output).all():
        raise InferenceError(
            "the network's output is not a number", "try --device cpu, or another model"
        )


def network_input(rgb: AnyRgbImage, letterbox: Letterbox, pad_lightness: float) -> FloatArray:
    """Make the tensor that a network reads, for runs and for validation alike.

    Parameters
    ----------
    rgb : uint8 or uint16 array, shape (H, W, 3)
        Of the size `letterbox.source`.
    letterbox : Letterbox
    pad_lightness : float
        L* of the padding, 0..100.

    Returns
    -------
    float32 array, shape (1, 1, canvas.height, canvas.width)
        L*, 0..100.
    """
    inner = letterbox.inner
    # Of all ways to shrink by area, OpenCV is fast at halving only. At least two pixels must remain
    # for each of the network's, so that the halving leaves no traces.
    halvings = 0
    while all(
        side >> halvings >= 4 * wanted
        for side, wanted in zip(rgb.shape, (inner.height, inner.width), strict=False)
    ):
        halvings += 1
    small = _halve(rgb, halvings)
    size = inner.width, inner.height
    if inner.height < small.shape[0]:
        # OpenCV averages floats faster than integers, and gets the same mean.
        means = cv2.resize(small.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        small = np.rint(means).astype(rgb.dtype)
    else:
        small = cast(AnyRgbImage, cv2.resize(small, size, interpolation=cv2.INTER_LINEAR))
    return letterbox.apply(rgb_to_lightness(small), pad_lightness)[None, None]


def _halve(rgb: AnyRgbImage, times: int) -> AnyRgbImage:
    """Halve a picture several times; odd rows and columns at its end are dropped."""
    if not times:
        return rgb
    height, width = rgb.shape[0] >> times, rgb.shape[1] >> times

    def halve_strip(rows: slice) -> AnyRgbImage:
        strip = rgb[rows.start << times : rows.stop << times, : width << times]
        for _ in range(times):
            half = strip.shape[1] // 2, strip.shape[0] // 2
            strip = cast(AnyRgbImage, cv2.resize(strip, half, interpolation=cv2.INTER_AREA))
        return strip

    # In strips, because the first half alone would take a quarter of the picture's memory.
    return map_row_strips(halve_strip, (height, width, 3), rgb.dtype, _STRIP_PIXELS >> (2 * times))
