"""Foreign profiles: how the input and output of a network made elsewhere map onto our contract.

A profile is a TOML file beside an ONNX file made elsewhere. `recolor -m NAME.toml` runs that file
like one of our models, and `recolor export --profile` makes a model file of it. Colorizers differ
in the size and layout of the input, in whether it is L* or the gray picture, in its scale, and in
whether color comes back as ab, as RGB or as a distribution over ab bins. The numpy code here is the
oracle for the graph that `recolor export` puts around a network.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Self

import numpy as np

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.annealed_mean import annealed_mean
from recolor_cli.color.lab import cv2_gray_steps, lab_to_rgb_cie, rgb_to_lab_cie
from recolor_cli.color.srgb import LUMA
from recolor_cli.errors import ModelError
from recolor_cli.model.manifest import Manifest
from recolor_cli.system.toml_config import build_config, read_toml
from recolor_cli.types import FloatArray, ModelKind

LEAST_PROBABILITY = 1e-12  # so that each probability has a logarithm
_SIZES = (8, 4096)  # px
_SHA256 = re.compile("[0-9a-f]{64}")
_TEMPERATURES = (0.01, 10)


class OutputKind(StrEnum):
    """The contents of a network's output."""

    AB = "ab"
    RGB = "rgb"
    LOGITS = "logits"  # over the bins
    PROBABILITIES = "probabilities"  # over the bins, after the softmax


@dataclass(frozen=True, slots=True)
class ForeignProfile:
    """The keys of a profile file.

    Parameters
    ----------
    size : int
        Longest side of the network's input, 8..4096 px. Without `stride` the input is a square of
        this side.
    answer : OutputKind
        What the output holds.
    file : str
        The ONNX file, relative to the profile. `recolor export` ignores it.
    other_sizes : tuple of int
        Other sides for which such networks are exported, px. A file whose input has one of these
        sides runs at that side; a file that takes any side runs at `size`.
    stride : int
        Height and width of the input may be other multiples of this, px; 0 for a network that
        takes only `size`. A file whose input has one fixed side may have any multiple.
    gray_input : bool
        True: the input is the gray picture, sRGB 0..`white`. False: it is L*, 0..100.
    opencv_gray : bool
        `gray_input` only. True: the gray is what OpenCV's float32 Lab leaves of it, up to 0.5 of
        255 levels off, as networks know it whose own code makes it so.
    white : float
        Value of white in the gray picture and in an RGB answer: 1, or 255.
    channels : int
        1, or 3 for three copies of the same plane.
    offset, scale : float or 3 floats, one per channel
        The network reads (x - offset) / scale.
    answer_offset, answer_scale : float or 3 floats, one per channel
        ab or RGB (0..`white`) is output * answer_scale + answer_offset.
    keep_luma : bool
        RGB only. True: the answer gets the luma of the gray picture (BT.601) before its ab is
        taken, so that only its chroma counts. False: its ab is taken as it is.
    channels_last : bool
        Input and output are (N, H, W, C), as in Keras, instead of (N, C, H, W).
    output : str
        Name of the output to take, or its number from 0 for a PyTorch network; empty if there is
        only one.
    bins : tuple of (a, b)
        Centers of the classes of a distribution, CIELAB units, in the order of its channels; empty
        for our 394, ordered by a, then b.
    pad_lightness : float
        L* of the padding, 0..100.
    temperature : float
        Default temperature of the annealed mean for distributions, 0.01..10.
    license, data : str
        License of the weights; pictures that they were trained on.
    citation : str
        Authors, title and place of the work that the network is from.
    source : str
        Address from which `recolor models add` downloads the ONNX file; empty if it has none.
    sha256 : str
        Checksum of that file, 64 hexadecimal digits, as its publisher states it; empty if not.

    Raises
    ------
    ValueError
        If a value is out of range, or two values contradict each other.
    """

    size: int
    answer: OutputKind
    file: str = ""
    other_sizes: tuple[int, ...] = ()
    stride: int = 0
    gray_input: bool = False
    opencv_gray: bool = False
    white: float = 1.0
    channels: int = 1
    offset: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    answer_offset: float | tuple[float, ...] = 0.0
    answer_scale: float | tuple[float, ...] = 1.0
    keep_luma: bool = False
    channels_last: bool = False
    output: str = ""
    bins: tuple[tuple[float, ...], ...] = ()
    pad_lightness: float = 50.0
    temperature: float = 0.38
    license: str = "unknown"
    data: str = "unknown"
    citation: str = ""
    source: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        for key, size in (("size", self.size), *(("other_sizes", s) for s in self.other_sizes)):
            if not _SIZES[0] <= size <= _SIZES[1]:
                raise ValueError(f"{key} {size} is not in {_SIZES[0]}..{_SIZES[1]}")
        if self.stride < 0 or (self.stride and self.size % self.stride):
            raise ValueError(f"size {self.size} is no multiple of stride {self.stride}")
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, not {self.channels}")
        self._check_scales()
        if not 0 < self.white < np.inf:
            raise ValueError(f"white must be positive, not {self.white}")
        if self.opencv_gray and not self.gray_input:
            raise ValueError("opencv_gray means nothing without gray_input")
        if self.keep_luma and self.answer is not OutputKind.RGB:
            raise ValueError(f"keep_luma means nothing for {self.answer}")
        if self.bins and not self.is_distribution:
            raise ValueError(f"bins mean nothing for {self.answer}")
        if any(len(center) != 2 or not np.isfinite(center).all() for center in self.bins):
            raise ValueError("bins must be pairs of a and b")
        if not 0 <= self.pad_lightness <= 100:
            raise ValueError(f"pad_lightness {self.pad_lightness} is not in 0..100")
        low, high = _TEMPERATURES
        if not low <= self.temperature <= high:
            raise ValueError(f"temperature {self.temperature} is not in {low}..{high}")
        if self.source and not self.source.startswith(("https://", "http://")):
            raise ValueError("source must be an address that begins with https://")
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise ValueError("sha256 must be 64 hexadecimal digits, 0-9 and a-f")

    def _check_scales(self) -> None:
        output_channels = 3 if self.answer is OutputKind.RGB else 2
        for key, channels in (
            ("offset", self.channels),
            ("scale", self.channels),
            ("answer_offset", output_channels),
            ("answer_scale", output_channels),
        ):
            value = np.asarray(getattr(self, key), np.float32)
            if value.shape not in ((), (channels,)) or not np.isfinite(value).all():
                raise ValueError(f"{key} must be a number or {channels} of them")
            if key in ("scale", "answer_scale") and not value.all():
                raise ValueError(f"{key} must not be 0")
        if self.is_distribution and (self.answer_offset, self.answer_scale) != (0, 1):
            raise ValueError(f"answer_offset and answer_scale mean nothing for {self.answer}")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a profile from a TOML file.

        Raises
        ------
        ModelError
            If it cannot be read, or does not make sense.
        """
        try:
            return build_config(cls, read_toml(path))
        except OSError as error:
            raise ModelError(
                f"cannot read the profile {path}: {error.strerror}", "check the path"
            ) from error
        except ValueError as error:  # TOML and Unicode errors are ValueErrors, too
            raise ModelError(
                f"{path} is not a profile: {error}",
                "correct the file; `recolor profile ddcolor` prints an example",
            ) from error

    @property
    def is_distribution(self) -> bool:
        """Whether the output is a distribution, which the annealed mean reduces to ab."""
        return self.answer in (OutputKind.LOGITS, OutputKind.PROBABILITIES)

    @property
    def ab_bins(self) -> AbBins:
        """The classes of a distribution."""
        return AbBins(np.array(self.bins, np.float32)) if self.bins else AbBins.srgb()

    @property
    def output_channels(self) -> int:
        """Number of channels of the output."""
        return {OutputKind.AB: 2, OutputKind.RGB: 3}.get(self.answer) or len(self.ab_bins)

    @property
    def spatial_axes(self) -> tuple[int, int]:
        """Axes of height and width in the network's input."""
        return (1, 2) if self.channels_last else (2, 3)

    def input_shape(self, count: int) -> tuple[int, ...]:
        """Return the shape of the network's input for this number of pictures."""
        if self.channels_last:
            return (count, self.size, self.size, self.channels)
        return (count, self.channels, self.size, self.size)

    def fit_size(self, shape: Sequence[int | str | None]) -> Self:
        """Return the profile with the fixed side of a graph as its `size`.

        Parameters
        ----------
        shape : sequence of int, str or None
            Of the graph's input, as in `find_mismatch`. If its side is not fixed, or the profile
            does not allow it, the profile is returned unchanged, and `find_mismatch` says why.
        """
        sides = {shape[axis] for axis in self.spatial_axes} if len(shape) == 4 else set()
        side = sides.pop() if len(sides) == 1 else None
        if not isinstance(side, int):
            return self
        is_multiple = bool(self.stride) and side % self.stride == 0
        if side not in (self.size, *self.other_sizes) and not is_multiple:
            return self
        return replace(self, size=side, other_sizes=(), stride=0)

    def to_manifest(self, name: str) -> Manifest:
        """Return the manifest under which the network runs by this profile."""
        return Manifest(
            name=name,
            kind=ModelKind.REGRESSION,  # it has no prior, and its graph gives no ab of logits
            size=self.size,
            stride=self.stride or self.size,
            pad_lightness=self.pad_lightness,
            temperature=self.temperature,
            centers=(),
            prior=(),
            license=self.license,
            data=self.data,
            training={},
        )

    def select_output(self, names: Sequence[str]) -> str:
        """Return the name of the output to take, of a network with these outputs.

        Raises
        ------
        ModelError
            If there is no output of the name in the profile, or there are several and it has none.
        """
        if self.output in names:
            return self.output
        if self.output or len(names) > 1:
            raise ModelError(
                f"{self.file}: output must be one of {', '.join(names)}", "name it in the profile"
            )
        return names[0]

    def find_mismatch(self, shape: Sequence[int | str | None], element: str) -> str:
        """Return why a graph cannot read the input that this profile makes; empty if it can.

        Parameters
        ----------
        shape : sequence of int, str or None
            Of the graph's input; names and None stand for any size.
        element : str
            Its type in onnxruntime's words, such as ``tensor(float)``.
        """
        own = self.input_shape(1)
        if element not in ("tensor(float)", "tensor(float16)"):
            return f"its input is a {element}, not of floats"
        if len(shape) != 4 or any(
            isinstance(theirs, int) and theirs != ours
            for theirs, ours in zip(shape, own, strict=True)
        ):
            return f"its input has the shape {list(shape)}, the profile makes {list(own)}"
        if self.stride and any(isinstance(shape[axis], int) for axis in self.spatial_axes):
            return f"its input has the shape {list(shape)}, which leaves no room for a stride"
        return ""

    def prepare_input(self, lightness: FloatArray) -> FloatArray:
        """Return the network's input for L*.

        Parameters
        ----------
        lightness : float32 array, shape (N, 1, H, W), L* in 0..100

        Returns
        -------
        float32 array, shape (N, C, H, W), or (N, H, W, C) if `channels_last`
        """
        plane = lightness
        if self.gray_input:
            to_gray = _lightness_to_opencv_gray if self.opencv_gray else _lightness_to_gray
            plane = to_gray(lightness) * np.float32(self.white)
        tensor = np.repeat(plane, self.channels, axis=1)
        tensor = (tensor - _per_channel(self.offset)) / _per_channel(self.scale)
        if self.channels_last:
            tensor = tensor.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(tensor, np.float32)

    def convert_output(
        self, output: FloatArray, temperature: float, lightness: FloatArray
    ) -> FloatArray:
        """Return the ab in a network's output.

        Parameters
        ----------
        output : float array, shape (N, C, h, w), or (N, h, w, C) if `channels_last`
        temperature : float
            Of the annealed mean, for distributions.
        lightness : float32 array, shape (N, 1, H, W), L* in 0..100
            That `prepare_input` got; (h, w) is (H, W) if `keep_luma`.

        Returns
        -------
        float32 array, shape (N, 2, h, w), CIELAB units

        Raises
        ------
        ModelError
            If the output has another number of channels, or another size, than the profile says.
        """
        output = np.asarray(output, np.float32)
        if output.ndim == 4 and self.channels_last:
            output = output.transpose(0, 3, 1, 2)
        expected = self.output_channels
        if output.ndim != 4 or output.shape[1] != expected:
            raise ModelError(
                f"{self.file} answers with shape {output.shape}, its profile says {self.answer} "
                f"with {expected} channels",
                "change answer, output or channels_last in the profile",
            )
        if self.answer is OutputKind.PROBABILITIES:
            output = np.log(np.maximum(output, LEAST_PROBABILITY))
        if self.is_distribution:
            return annealed_mean(output, self.ab_bins, temperature)
        output = output * _per_channel(self.answer_scale) + _per_channel(self.answer_offset)
        if self.answer is OutputKind.AB:
            return output
        rgb = np.clip(output / np.float32(self.white), 0, 1)
        if self.keep_luma:
            if rgb.shape[2:] != lightness.shape[2:]:
                raise ModelError(
                    f"{self.file} answers with shape {output.shape}, which has not the size of its "
                    "input, as keep_luma needs",
                    "leave keep_luma out of the profile",
                )
            rgb = _set_luma(rgb, _lightness_to_gray(lightness))
        return _rgb_to_ab(rgb)


def _per_channel(value: float | tuple[float, ...]) -> FloatArray:
    """Return one number, or one per channel, in a shape that broadcasts over (N, C, H, W)."""
    return np.asarray(value, np.float32).reshape(-1, 1, 1)


# Both use the CIE formula because a graph must do the same. OpenCV interpolates in tables, which
# differ from it by up to 0.6 ab units.


def _lightness_to_gray(lightness: FloatArray) -> FloatArray:
    """Return the sRGB value, 0..1, of the gray of this L*, 0..100: float32, same shape."""
    return lab_to_rgb_cie(lightness, np.zeros((*lightness.shape, 2), np.float32))[..., 1]


def _lightness_to_opencv_gray(lightness: FloatArray) -> FloatArray:
    """Return the gray that OpenCV makes of a gray of this L*: as `_lightness_to_gray`."""
    edges, grays = cv2_gray_steps()
    return grays[np.searchsorted(edges, lightness, side="right")]


def _set_luma(rgb: FloatArray, luma: FloatArray) -> FloatArray:
    """Return sRGB (N, 3, h, w), 0..1, with the luma (N, 1, h, w) instead of its own."""
    own = (rgb * _per_channel(LUMA)).sum(axis=1, keepdims=True)
    shifted: FloatArray = rgb + (luma - own)  # the same for all channels, so that U and V stay
    return shifted.clip(0, 1)


def _rgb_to_ab(rgb: FloatArray) -> FloatArray:
    """Return ab (N, 2, h, w), CIELAB units, of sRGB (N, 3, h, w), 0..1."""
    lab = rgb_to_lab_cie(rgb.transpose(0, 2, 3, 1))
    return np.ascontiguousarray(lab[..., 1:].transpose(0, 3, 1, 2))
