"""Networks that were made elsewhere: how their input and output map onto our contract.

A profile is a TOML file beside somebody's ONNX file; `recolor -m NAME.toml` runs it like a model of
ours, and `recolor export --profile` makes a model file of it, or of a network of another framework.
It covers what colorizers differ in: the size and layout of the input, whether it is L* or the gray
picture, what it is scaled to, and whether color comes back as ab, as RGB or as a distribution over
ab bins. What it does here in numpy is the oracle for the graph that `recolor export` puts around a
network.
"""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import numpy as np

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.annealed_mean import annealed_mean
from recolor_cli.color.lab import lab_to_rgb_cie, rgb_to_lab_cie
from recolor_cli.errors import ModelError
from recolor_cli.model.manifest import Manifest
from recolor_cli.types import FloatArray, ModelKind

SUFFIX = ".toml"
SHIPPED = {
    path.stem: path for path in sorted((Path(__file__).parent / "profiles").glob(f"*{SUFFIX}"))
}

LEAST_PROBABILITY = 1e-12  # has a logarithm
_SIZES = (8, 4096)  # px


class Answer(StrEnum):
    """What a network's output holds."""

    AB = "ab"
    RGB = "rgb"
    LOGITS = "logits"  # over the bins
    PROBABILITIES = "probabilities"  # likewise, softmax taken


@dataclass(frozen=True, slots=True)
class Profile:
    """What a TOML profile says.

    Parameters
    ----------
    size : int
        Side of the square that the network takes, 8..4096 px. Pictures are letterboxed into it.
    answer : Answer
    file : str
        The ONNX file, relative to the profile; `recolor export` is told another.
    stride : int
        Height and width may be other multiples of this, px; 0 for a network that takes only `size`.
    gray_input : bool
        True: the gray picture, sRGB 0..1. False: L*, 0..100.
    channels : int
        1, or 3 for three times the same.
    offset, scale : float or 3 floats, one a channel
        What the network reads is (x - offset) / scale.
    answer_offset, answer_scale : float or 3 floats, one a channel
        ab or RGB (0..1) is answer * answer_scale + answer_offset.
    channels_last : bool
        (N, H, W, C) in and out, as Keras has it, instead of (N, C, H, W).
    output : str
        Which output of several: its name, or the number of a PyTorch network's, from 0. Empty for
        the only one.
    bins : tuple of (a, b)
        Centres of the classes of a distribution, CIELAB units, in the order of its channels; empty
        for the 394, a-major.
    pad_lightness : float
        L* of the padding, 0..100.
    temperature : float
        Of the annealed mean, for distributions, 0.01..10.
    license, data : str
        Of the weights; what they were trained on.
    """

    size: int
    answer: Answer
    file: str = ""
    stride: int = 0
    gray_input: bool = False
    channels: int = 1
    offset: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    answer_offset: float | tuple[float, ...] = 0.0
    answer_scale: float | tuple[float, ...] = 1.0
    channels_last: bool = False
    output: str = ""
    bins: tuple[tuple[float, ...], ...] = ()
    pad_lightness: float = 50.0
    temperature: float = 0.38
    license: str = "unknown"
    data: str = "unknown"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a profile.

        Parameters
        ----------
        path : Path
            A TOML file.

        Raises
        ------
        ModelError
            If it cannot be read, or does not make sense.
        """
        known = {f.name for f in fields(cls)}
        try:
            values: dict[str, Any] = tomllib.loads(_text_of(path.read_bytes()))
            if unknown := sorted(values.keys() - known):
                raise ValueError(f"unknown keys {', '.join(unknown)}")
            for f in fields(cls):
                if f.name in values:
                    values[f.name] = _checked(f.name, values[f.name], str(f.type))
            profile = cls(**values)
            profile._check()
        except OSError as error:
            raise ModelError(
                f"cannot read the profile {path}: {error.strerror}", "check the path"
            ) from error
        except (TypeError, ValueError) as error:  # TOML and Unicode errors are ValueErrors
            raise ModelError(
                f"{path} is not a profile: {error}", f"keys: {', '.join(sorted(known))}"
            ) from error
        return profile

    def _check(self) -> None:
        if not _SIZES[0] <= self.size <= _SIZES[1]:
            raise ValueError(f"size {self.size} is not in {_SIZES[0]}..{_SIZES[1]}")
        if self.stride < 0 or (self.stride and self.size % self.stride):
            raise ValueError(f"size {self.size} is no multiple of stride {self.stride}")
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, not {self.channels}")
        outputs = 3 if self.answer is Answer.RGB else 2
        for key, channels in (
            ("offset", self.channels),
            ("scale", self.channels),
            ("answer_offset", outputs),
            ("answer_scale", outputs),
        ):
            value = np.asarray(getattr(self, key), np.float32)
            if value.shape not in ((), (channels,)) or not np.isfinite(value).all():
                raise ValueError(f"{key} must be a number or {channels} of them")
            if key in ("scale", "answer_scale") and not value.all():
                raise ValueError(f"{key} must not be 0")
        if self.is_distribution and (self.answer_offset, self.answer_scale) != (0, 1):
            raise ValueError(f"answer_offset and answer_scale mean nothing for {self.answer}")
        if self.bins and not self.is_distribution:
            raise ValueError(f"bins mean nothing for {self.answer}")
        if any(len(center) != 2 or not np.isfinite(center).all() for center in self.bins):
            raise ValueError("bins must be pairs of a and b")
        if not 0 <= self.pad_lightness <= 100:
            raise ValueError(f"pad_lightness {self.pad_lightness} is not in 0..100")
        if not 0.01 <= self.temperature <= 10:
            raise ValueError(f"temperature {self.temperature} is not in 0.01..10")

    @property
    def is_distribution(self) -> bool:
        """Whether the answer is decoded by the annealed mean."""
        return self.answer in (Answer.LOGITS, Answer.PROBABILITIES)

    @property
    def ab_bins(self) -> AbBins:
        """The classes of a distribution."""
        return AbBins(np.array(self.bins, np.float32)) if self.bins else AbBins.srgb()

    @property
    def answer_channels(self) -> int:
        """How many channels the answer has."""
        return {Answer.AB: 2, Answer.RGB: 3}.get(self.answer) or len(self.ab_bins)

    def manifest(self, name: str) -> Manifest:
        """Return what a model file of ours would say of itself, were it run by this profile."""
        return Manifest(
            name=name,
            kind=ModelKind.REGRESSION,  # it has no prior, and its graph does not decode
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

    def output_of(self, outputs: Sequence[str]) -> str:
        """Return which of a network's outputs is the answer.

        Parameters
        ----------
        outputs : sequence of str
            Their names.

        Raises
        ------
        ModelError
            If that is not clear.
        """
        if self.output in outputs:
            return self.output
        if self.output or len(outputs) > 1:
            raise ModelError(
                f"{self.file}: output must be one of {', '.join(outputs)}", "name it in the profile"
            )
        return outputs[0]

    def fault_of(self, shape: Sequence[int | str | None], element: str) -> str:
        """Return why a graph with this input cannot be fed, empty if it can.

        Parameters
        ----------
        shape : sequence of int, str or None
            Of the graph's input; names and None stand for any size.
        element : str
            Its type, as onnxruntime writes it.
        """
        own = self.input_shape(1)
        if element not in ("tensor(float)", "tensor(float16)"):
            return f"its input is a {element}, not of floats"
        if len(shape) != 4 or any(
            isinstance(theirs, int) and theirs != ours
            for theirs, ours in zip(shape, own, strict=True)
        ):
            return f"its input has the shape {list(shape)}, the profile makes {list(own)}"
        if self.stride and any(isinstance(shape[axis], int) for axis in self.sides):
            return f"its input has the shape {list(shape)}, which leaves no room for a stride"
        return ""

    @property
    def sides(self) -> tuple[int, int]:
        """Which axes of the network's input are height and width."""
        return (1, 2) if self.channels_last else (2, 3)

    def input_shape(self, count: int) -> tuple[int, ...]:
        """Return the shape of the network's input for so many pictures."""
        if self.channels_last:
            return (count, self.size, self.size, self.channels)
        return (count, self.channels, self.size, self.size)

    def encode(self, lightness: FloatArray) -> FloatArray:
        """Make the network's input.

        Parameters
        ----------
        lightness : float32 array, shape (N, 1, H, W), L* in 0..100

        Returns
        -------
        float32 array, shape (N, C, H, W), or (N, H, W, C) if `channels_last`
        """
        plane = _gray(lightness) if self.gray_input else lightness
        tensor = (np.repeat(plane, self.channels, axis=1) - _by_channel(self.offset)) / _by_channel(
            self.scale
        )
        if self.channels_last:
            tensor = tensor.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(tensor, np.float32)

    def decode(self, answer: FloatArray, temperature: float) -> FloatArray:
        """Make ab of the network's output.

        Parameters
        ----------
        answer : float array, shape (N, C, h, w), or (N, h, w, C) if `channels_last`
        temperature : float
            Of the annealed mean, for distributions.

        Returns
        -------
        float32 array, shape (N, 2, h, w), CIELAB units

        Raises
        ------
        ModelError
            If the answer has another number of channels than the profile says.
        """
        answer = np.asarray(answer, np.float32)
        if answer.ndim == 4 and self.channels_last:
            answer = answer.transpose(0, 3, 1, 2)
        expected = self.answer_channels
        if answer.ndim != 4 or answer.shape[1] != expected:
            raise ModelError(
                f"{self.file} answers with shape {answer.shape}, its profile says {self.answer} "
                f"with {expected} channels",
                "change answer, output or channels_last in the profile",
            )
        if self.answer is Answer.PROBABILITIES:
            answer = np.log(np.maximum(answer, LEAST_PROBABILITY))
        if self.is_distribution:
            return annealed_mean(answer, self.ab_bins, temperature)
        answer = answer * _by_channel(self.answer_scale) + _by_channel(self.answer_offset)
        if self.answer is Answer.AB:
            return answer
        return _ab_of(np.clip(answer, 0, 1))


def _text_of(data: bytes) -> str:
    """Return a text in UTF-8, or in UTF-16, in which an older PowerShell writes what one prints."""
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if utf16 else "utf-8-sig")


def _checked(key: str, value: Any, kind: str) -> Any:
    """Return a value of TOML as the field's type, or say that it is of another."""
    if kind == "Answer":
        return Answer(value)
    if kind.startswith("tuple["):  # of tuples of numbers
        if isinstance(value, list) and all(isinstance(part, list) for part in value):
            return tuple(_checked(key, part, "float | tuple") for part in value)
    elif kind.startswith("float"):
        if "tuple" in kind and isinstance(value, list):
            return tuple(_checked(key, part, "float") for part in value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif type(value).__name__ == kind:
        return value
    raise ValueError(f"{key} must not be {value!r}")


def _by_channel(value: float | tuple[float, ...]) -> FloatArray:
    """Return it so that it spreads over (N, C, H, W)."""
    return np.asarray(value, np.float32).reshape(-1, 1, 1)


# Both by the closed formula, since a graph must do the same: OpenCV interpolates in tables, which
# is up to 0.6 ab units off.


def _gray(lightness: FloatArray) -> FloatArray:
    """Return the sRGB value, 0..1, of a gray of this L*, 0..100: float32, the same shape."""
    return lab_to_rgb_cie(lightness, np.zeros((*lightness.shape, 2), np.float32))[..., 1]


def _ab_of(rgb: FloatArray) -> FloatArray:
    """Return ab (N, 2, h, w), CIELAB units, of sRGB (N, 3, h, w), 0..1."""
    lab = rgb_to_lab_cie(rgb.transpose(0, 2, 3, 1))
    return np.ascontiguousarray(lab[..., 1:].transpose(0, 3, 1, 2))
