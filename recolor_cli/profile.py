"""Networks that were made elsewhere: how their input and output map onto our contract.

A profile is a TOML file beside somebody's ONNX file; `recolor -m NAME.toml` runs it like a model of
ours. It covers what colorizers differ in: the size and layout of the input, whether it is L* or the
gray picture, what it is scaled to, and whether color comes back as ab, as RGB or as a distribution
over the ab bins.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, cast

import cv2
import numpy as np

from recolor_cli.decode import annealed_mean
from recolor_cli.errors import ModelError
from recolor_cli.gamut import AbBins
from recolor_cli.lab import rgb_to_lab
from recolor_cli.manifest import Manifest
from recolor_cli.types import FloatArray, ModelKind

SUFFIX = ".toml"


class Answer(StrEnum):
    """What a network's output holds."""

    AB = "ab"
    RGB = "rgb"
    LOGITS = "logits"  # over the 394 bins, a-major
    PROBABILITIES = "probabilities"  # likewise, softmax taken


@dataclass(frozen=True, slots=True)
class Profile:
    """What a TOML profile says.

    Parameters
    ----------
    file : str
        The ONNX file, relative to the profile.
    size : int
        Side of the square that the network takes, px. Pictures are letterboxed into it.
    answer : Answer
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
        Which output of several; empty for the only one.
    pad_lightness : float
        L* of the padding, 0..100.
    temperature : float
        Of the annealed mean, for distributions.
    license, data : str
        Of the weights; what they were trained on.
    """

    file: str
    size: int
    answer: Answer
    gray_input: bool = False
    channels: int = 1
    offset: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    answer_offset: float | tuple[float, ...] = 0.0
    answer_scale: float | tuple[float, ...] = 1.0
    channels_last: bool = False
    output: str = ""
    pad_lightness: float = 50.0
    temperature: float = 0.38
    license: str = "unknown"
    data: str = "unknown"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a profile.

        Raises
        ------
        ModelError
            If it cannot be read, or does not make sense.
        """
        known = {f.name for f in fields(cls)}
        try:
            values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
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
        if self.size < 8:
            raise ValueError(f"size {self.size}")
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
        if not self.temperature > 0:
            raise ValueError(f"temperature {self.temperature}")

    @property
    def is_distribution(self) -> bool:
        """Whether the answer is decoded by the annealed mean."""
        return self.answer in (Answer.LOGITS, Answer.PROBABILITIES)

    def manifest(self, name: str) -> Manifest:
        """Return what a model file of ours would say of itself."""
        return Manifest(
            name=name,
            kind=ModelKind.REGRESSION,  # it has no prior, and its graph does not decode
            size=self.size,
            stride=self.size,
            pad_lightness=self.pad_lightness,
            temperature=self.temperature,
            centers=(),
            prior=(),
            license=self.license,
            data=self.data,
            training={},
        )

    def fault_of(self, shape: Sequence[int | str | None], element: str) -> str:
        """Return why a graph with this input cannot be fed, empty if it can.

        Parameters
        ----------
        shape : sequence of int, str or None
            Of the graph's input; names and None stand for any size.
        element : str
            Its type, as onnxruntime writes it.
        """
        size, channels = self.size, self.channels
        own = (1, size, size, channels) if self.channels_last else (1, channels, size, size)
        if element not in ("tensor(float)", "tensor(float16)"):
            return f"its input is a {element}, not of floats"
        fits = len(shape) == 4 and all(
            not isinstance(theirs, int) or theirs == ours
            for theirs, ours in zip(shape, own, strict=True)
        )
        return (
            "" if fits else f"its input has the shape {list(shape)}, the profile makes {list(own)}"
        )

    def encode(self, lightness: FloatArray) -> FloatArray:
        """Make the network's input.

        Parameters
        ----------
        lightness : float32 array, shape (N, 1, H, W), L* in 0..100

        Returns
        -------
        float32 array, shape (N, C, H, W), or (N, H, W, C) if `channels_last`
        """
        plane = (
            np.stack([_gray(p) for p in lightness[:, 0]])[:, None] if self.gray_input else lightness
        )
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
        bins = AbBins.srgb()
        expected = {Answer.AB: 2, Answer.RGB: 3}.get(self.answer, len(bins))
        if answer.ndim != 4 or answer.shape[1] != expected:
            raise ModelError(
                f"{self.file} answers with shape {answer.shape}, its profile says {self.answer} "
                f"with {expected} channels",
                "change answer, output or channels_last in the profile",
            )
        if self.answer is Answer.PROBABILITIES:
            answer = np.log(np.maximum(answer, 1e-12))
        if self.is_distribution:
            return annealed_mean(answer, bins, temperature)
        answer = answer * _by_channel(self.answer_scale) + _by_channel(self.answer_offset)
        if self.answer is Answer.AB:
            return answer
        lab = [rgb_to_lab(np.clip(rgb.transpose(1, 2, 0), 0, 1)) for rgb in answer]
        return np.ascontiguousarray(np.stack(lab)[..., 1:].transpose(0, 3, 1, 2))


def _checked(key: str, value: Any, kind: str) -> Any:
    """Return a value of TOML as the field's type, or say that it is of another."""
    if kind == "Answer":
        return Answer(value)
    if kind.startswith("float"):
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


def _gray(lightness: FloatArray) -> FloatArray:
    """Return the sRGB value, 0..1, of a gray of this L*: float32 (H, W)."""
    zero = np.zeros_like(lightness)
    rgb = cv2.cvtColor(np.dstack((lightness, zero, zero)), cv2.COLOR_Lab2RGB)
    return cast(FloatArray, rgb[..., 1])
