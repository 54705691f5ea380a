"""The words that all rooms share: array aliases, sizes, choices, the network protocol."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from recolor_cli.color.annealed_mean import Distribution
    from recolor_cli.guidance.prediction import Steering
    from recolor_cli.model.manifest import Manifest

RgbImage = NDArray[np.uint8]
"""sRGB, (H, W, 3), gamma-encoded, 0..255."""

AnyRgbImage = NDArray[Any]
"""sRGB, (H, W, 3), gamma-encoded: uint8, 0..255, or uint16, 0..65535."""

AnyPlanes = NDArray[Any]
"""uint8 or uint16 levels of any channels; the docstring of whoever uses it gives the shape."""

FloatArray = NDArray[np.float32]
"""float32; the docstring of whoever uses it gives shape, unit and range."""


@dataclass(frozen=True, slots=True)
class ImageSize:
    """Height and width in pixels, named so that the two are never swapped."""

    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a size needs at least one pixel a side, not {self}")

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def pixels(self) -> int:
        """How many pixels there are."""
        return self.height * self.width


def cpu_count() -> int:
    """Return the CPUs that this process may use, not those that the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Device(StrEnum):
    """Where the network is to run; a device number may follow, as in ``cuda:1``."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class ModelKind(StrEnum):
    """How a network arrives at ab."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class ColorSpace(StrEnum):
    """In which plane the bins of a classification network lie."""

    LAB = "lab"  # ab, CIELAB units
    YUV = "yuv"  # U in -.436...436, V in -.615...615


@dataclass(frozen=True, slots=True)
class RecolorOptions:
    """What a user can ask of one recoloring.

    Parameters
    ----------
    temperature : float or None
        Of the annealed mean, dimensionless, > 0: lower is more vivid and patchier.
        None takes the model's own.
    strength : float
        Factor on the chroma of the result, 0 (gray) to 3.
    keep_original : float
        How much of the picture's own color stays: 0 none, 1 all.
    only_gray : bool
        Leave the picture's colored parts as they are.
    mask : uint8 array, shape (h, w), or None
        Where to recolor, laid over the whole picture: 255 there, 0 elsewhere, between: partly.
    steering : Steering or None
        A palette and hints; they need a network with a distribution.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    temperature: float | None = None
    strength: float = 1.0
    keep_original: float = 0.0
    only_gray: bool = False
    mask: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)
    steering: Steering | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        # Below 0.01 softmax is an argmax in all but name, above 10 the mean of all bins.
        if self.temperature is not None and not 0.01 <= self.temperature <= 10:
            raise ValueError(f"temperature must lie in 0.01..10, not {self.temperature}")
        if not 0 <= self.strength <= 3:
            raise ValueError(f"strength must lie in 0..3, not {self.strength}")
        if not 0 <= self.keep_original <= 1:
            raise ValueError(f"keep_original must lie in 0..1, not {self.keep_original}")


class ColorNetwork(Protocol):
    """Anything that turns lightness into color: an ONNX session, or a fake in a test."""

    @property
    def manifest(self) -> Manifest:
        """What the network says about itself."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda:N``."""
        ...

    def predict(self, lightness: FloatArray, temperature: float) -> FloatArray:
        """Return ab, shape (N, 2, h, w) in CIELAB units, for L* of shape (N, 1, H, W) in 0..100."""
        ...


@runtime_checkable
class DistributionNetwork(ColorNetwork, Protocol):
    """A color network that also tells the distribution which it decodes."""

    def distribution(self, lightness: FloatArray) -> Distribution:
        """Return what `predict` decodes; raises ModelError if the model has no distribution."""
        ...
