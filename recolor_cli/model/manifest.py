"""The manifest: what a model file says about itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.errors import ModelError
from recolor_cli.system.texts import counted
from recolor_cli.types import ColorSpace, FloatArray, ImageSize, ModelKind

SCHEMA = 1  # of the JSON; a file of another schema is refused
PROPERTY = "recolor.manifest"  # the ONNX custom property that holds the manifest as JSON


@dataclass(frozen=True, slots=True)
class Manifest:
    """The contract between a trained network and the program that runs it.

    Parameters
    ----------
    name : str
        As ``--model`` takes it.
    kind : ModelKind
        A classification network has the input `temperature` and the output `logits`.
    size : int
        Longest side of the network's input, px.
    stride : int
        Height and width of the input must be multiples of this, px.
    pad_lightness : float
        L* of the padding in training, 0..100.
    temperature : float
        Default temperature of the annealed mean.
    centers : tuple of (a, b), or of (U, V)
        The bins, in the order of the channels of `logits`; empty for regression.
    prior : tuple of float
        Frequency of each bin in the training pictures; empty for regression.
    license, data : str
        License of the weights; pictures that they were trained on.
    training : dict
        Facts of the training run: samples, steps, seed, version of recolor, figures.
    strength : float
        Factor on the network's ab at the user's strength of 1. The annealed mean of an undecided
        distribution is paler than the truth, and this makes up for it.
    space : ColorSpace
        The plane of the bins. The output is ab in any case, because the graph converts it.
    square : bool
        Whether pictures are padded to a square canvas, or only to multiples of the stride.
    refined : bool
        Whether the ab of the network is refined before it is painted (`color.refinement`).
    """

    name: str
    kind: ModelKind
    size: int
    stride: int
    pad_lightness: float
    temperature: float
    centers: tuple[tuple[float, float], ...]
    prior: tuple[float, ...]
    license: str
    data: str
    training: dict[str, Any]
    strength: float = 1.0
    space: ColorSpace = ColorSpace.LAB
    square: bool = True
    refined: bool = False

    def __post_init__(self) -> None:
        if self.size < 1 or self.stride < 1 or self.size % self.stride:
            raise ValueError(f"size {self.size} is no multiple of stride {self.stride}")
        if len(self.centers) != len(self.prior):
            raise ValueError(
                f"{counted(len(self.centers), 'bin')}, but {counted(len(self.prior), 'prior')}"
            )
        if (self.kind is ModelKind.CLASSIFICATION) != bool(self.centers):
            raise ValueError(f"a {self.kind} model cannot have {counted(len(self.centers), 'bin')}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be positive, not {self.temperature}")
        if not self.strength > 0:
            raise ValueError(f"strength must be positive, not {self.strength}")

    def box(self, source: ImageSize) -> Letterbox:
        """Return where a picture of this size lies on the network's canvas."""
        return Letterbox.fit(source, self.size, None if self.square else self.stride)

    @property
    def has_distribution(self) -> bool:
        """Whether the model predicts a distribution over bins of the ab plane."""
        return self.kind is ModelKind.CLASSIFICATION and self.space is ColorSpace.LAB

    @property
    def bins(self) -> AbBins:
        """The bins of a classification network; ValueError if they do not lie in the ab plane."""
        if self.space is not ColorSpace.LAB:
            raise ValueError(f"{self.name} has its bins in {self.space}, not in the ab plane")
        return AbBins(np.array(self.centers, np.float32))

    @property
    def prior_mean(self) -> FloatArray:
        """Mean ab of the training pictures, the best guess without looking: float32, shape (2,)."""
        return np.array(self.prior, np.float32) @ self.bins.centers

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], path: Path) -> Self:
        """Read a manifest from the custom properties of an ONNX file; errors name `path`.

        Raises
        ------
        ModelError
            If it is missing, of another schema, or does not make sense.
        """
        advice = "use a model that `recolor export` made"
        if PROPERTY not in properties:
            raise ModelError(
                f"{path} is an ONNX file, but not a recolor model",
                f"{advice}, or describe it in a profile: `recolor export --help`",
            )
        try:
            values = json.loads(properties[PROPERTY])
            schema = values.pop("schema")
            if schema != SCHEMA:
                raise ModelError(
                    f"{path} has model schema {schema}, this program reads {SCHEMA}",
                    "update recolor, or export the model again",
                )
            values["kind"] = ModelKind(values["kind"])
            values["space"] = ColorSpace(values.get("space", ColorSpace.LAB))
            values["centers"] = tuple((float(a), float(b)) for a, b in values["centers"])
            values["prior"] = tuple(map(float, values["prior"]))
            return cls(**values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path} has a broken manifest: {error}", advice) from error

    def to_properties(self) -> dict[str, str]:
        """Return the custom properties that `from_properties` reads back."""
        values = {"schema": SCHEMA, **asdict(self)}
        return {PROPERTY: json.dumps(values, allow_nan=False)}  # NaN is not JSON


def no_distribution(name: str) -> ModelError:
    """Return the error of a model without a distribution where one is needed."""
    return ModelError(
        f"the model {name} gives no choice of colors in the ab plane",
        "use a model with classes in the ab plane: poster or classification",
    )
