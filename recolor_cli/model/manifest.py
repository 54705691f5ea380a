"""What a model file says about itself, and where model files are found."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.errors import ModelError
from recolor_cli.types import ColorSpace, FloatArray, ImageSize, ModelKind

SCHEMA = 1  # of the metadata; a file of another schema is refused
PROPERTY = "recolor.manifest"  # the ONNX custom property that holds it, as JSON
SHARED = "recolor.shared"  # of a file that takes weights out of another one: `SharedWeights`
DEFAULT_MODEL = "poster"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The contract between a trained network and the program that runs it.

    Parameters
    ----------
    name : str
        What ``--model`` calls it.
    kind : ModelKind
        Classification has the input `temperature` and the output `logits`.
    size : int
        Long side of what it reads, px.
    stride : int
        Height and width of the input must be multiples of this, px.
    pad_lightness : float
        L* of the padding that it was trained with, 0..100.
    temperature : float
        Of the annealed mean, unless the user says otherwise.
    centers : tuple of (a, b), or of (U, V)
        The bins, in the order of the channels of `logits`; empty for regression.
    prior : tuple of float
        Frequency of each bin in the training pictures; empty for regression.
    license, data : str
        Of the weights; what they were trained on.
    training : dict
        Facts of the run that made it: samples, steps, seed, version of recolor, figures.
    strength : float
        Factor on the color that it answers with, at the user's strength of 1: the annealed mean
        of an undecided distribution is paler than the truth.
    space : ColorSpace
        In which the bins lie. The answer is ab in any case: the graph converts.
    square : bool
        Whether a picture is padded to a square, or only to multiples of the stride.
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

    def __post_init__(self) -> None:
        if self.size < 1 or self.stride < 1 or self.size % self.stride:
            raise ValueError(f"size {self.size} is no multiple of stride {self.stride}")
        if len(self.centers) != len(self.prior):
            raise ValueError(f"{len(self.centers)} bins, but {len(self.prior)} priors")
        if (self.kind is ModelKind.CLASSIFICATION) != bool(self.centers):
            raise ValueError(f"a {self.kind} model with {len(self.centers)} bins")
        if not self.temperature > 0:
            raise ValueError(f"temperature {self.temperature}")
        if not self.strength > 0:
            raise ValueError(f"strength {self.strength}")

    def box(self, source: ImageSize) -> Letterbox:
        """Return where a picture of this size lies in what the network reads."""
        return Letterbox.fit(source, self.size, None if self.square else self.stride)

    @property
    def bins(self) -> AbBins:
        """The bins of a classification model, where they lie in the ab plane."""
        if self.space is not ColorSpace.LAB:
            raise ValueError(f"{self.name} has its bins in {self.space}, not in the ab plane")
        return AbBins(np.array(self.centers, np.float32))

    @property
    def prior_mean(self) -> FloatArray:
        """The ab that one would guess without looking: float32, shape (2,); of bins in ab."""
        return np.array(self.prior, np.float32) @ self.bins.centers

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], path: Path) -> Self:
        """Read it from the custom properties of an ONNX file; `path` is named in errors.

        Raises
        ------
        ModelError
            If it is not there, of another schema, or does not make sense.
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
        """Return the custom properties that `from_properties` takes back."""
        values = {"schema": SCHEMA, **asdict(self)}
        return {PROPERTY: json.dumps(values, allow_nan=False)}  # others could not read it


@dataclass(frozen=True, slots=True)
class SharedWeights:
    """What a model file says of another one beside it, whose stored weights it uses.

    Parameters
    ----------
    file : str
        Its name.
    sha256 : str
        Of its content, in hexadecimal: in any other file the weights lie elsewhere.
    """

    file: str
    sha256: str

    @classmethod
    def of(cls, model: Path) -> Self:
        """Describe a file as it is now."""
        with model.open("rb") as file:
            return cls(model.name, hashlib.file_digest(file, "sha256").hexdigest())

    def to_properties(self) -> dict[str, str]:
        """Return the custom properties that `check` looks at."""
        return {SHARED: json.dumps(asdict(self))}

    @classmethod
    def check(cls, properties: Mapping[str, str], path: Path) -> None:
        """Check that the file beside a model whose weights it uses is the one that it was made of.

        Raises
        ------
        ModelError
            If it is another one, or none.
        """
        if SHARED not in properties:
            return
        try:
            made_of = cls(**json.loads(properties[SHARED]))
            found = cls.of(path.with_name(made_of.file))
        except (OSError, TypeError, ValueError) as error:
            raise ModelError(
                f"{path} takes weights out of another file, which cannot be read: {error}",
                "copy both of them again",
            ) from error
        if found != made_of:
            raise ModelError(
                f"{path} takes weights out of {made_of.file}, which has changed since",
                "make it again with `recolor quantize --bits 16`, or delete it",
            )


def model_folders() -> list[Path]:
    """Return where models are looked for by name, the first first.

    ``$RECOLOR_MODELS``, then what came with the package, or lies beside it in a checkout.
    """
    package = Path(__file__).resolve().parents[1]
    own = os.environ.get("RECOLOR_MODELS")
    folders = [Path(own)] if own else []
    folders.append(package / "models")
    if (
        package.parent / "pyproject.toml"
    ).is_file():  # else it is site-packages, and others' models
        folders.append(package.parent / "models")
    return [folder for folder in folders if folder.is_dir()]


_TWINS = {8: ".int8", 16: ".fp16"}  # by the bits that it computes in: behind a model file's name


def twin_of(model: Path, bits: int) -> Path:
    """Return where the twin of a model file lies that computes in 8 or 16 bits, if there is one."""
    return model.with_name(f"{model.stem}{_TWINS[bits]}{model.suffix}")


def available_models() -> dict[str, Path]:
    """Return the model files that can be named, by name, without their twins in fewer bits."""
    found: dict[str, Path] = {}
    for folder in model_folders():
        for path in sorted(folder.glob("[!.]*.onnx")):
            if not path.stem.endswith(tuple(_TWINS.values())):
                found.setdefault(path.stem, path)
    return found


def find_model(name: str, bits: int = 32) -> Path:
    """Return the file of a model that is given by its name or as a path.

    Parameters
    ----------
    name : str
        A path is taken as it is.
    bits : int
        Of a name, return the twin that computes in so many, where there is one: 8 is for
        processors, 16 for GPUs.

    Raises
    ------
    ModelError
        If there is none.
    """
    path = Path(name)
    if path.suffix.lower() in (".onnx", ".toml") or len(path.parts) > 1:
        if path.is_file():
            return path
        raise ModelError(f"no model file {name}", "check the path, or see `recolor models`")
    models = available_models()
    if name not in models:
        known = ", ".join(models) or "none"
        raise ModelError(f"no model is called {name}; there are: {known}", "see `recolor models`")
    if bits in _TWINS and (twin := twin_of(models[name], bits)).is_file():
        return twin
    return models[name]
