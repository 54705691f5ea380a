"""The protocols of a color network, so that a fake or another runtime can stand in for it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from recolor_cli.color.annealed_mean import Distribution
from recolor_cli.model.manifest import Manifest
from recolor_cli.types import FloatArray


@runtime_checkable
class ColorNetwork(Protocol):
    """Anything that turns lightness into color: an ONNX session, or a fake in a test."""

    @property
    def manifest(self) -> Manifest:
        """The network's description of itself."""
        ...

    @property
    def device(self) -> str:
        """The device it runs on: ``cpu`` or ``cuda:N``."""
        ...

    def predict(self, lightness: FloatArray, temperature: float) -> FloatArray:
        """Return ab, shape (N, 2, h, w) in CIELAB units, for L* of shape (N, 1, H, W) in 0..100."""
        ...


@runtime_checkable
class DistributionNetwork(ColorNetwork, Protocol):
    """A color network that can also return the distribution behind its ab."""

    def distribution(self, lightness: FloatArray) -> Distribution:
        """Return the distribution that `predict` reduces to ab; ModelError if there is none."""
        ...
