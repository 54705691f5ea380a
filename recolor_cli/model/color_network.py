"""The protocols that a network keeps, so that a fake or another runtime can stand in for it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from recolor_cli.color.annealed_mean import Distribution
from recolor_cli.model.manifest import Manifest
from recolor_cli.types import FloatArray


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
