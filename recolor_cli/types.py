"""Array types, sizes and enumerations that all packages share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]
"""sRGB, (H, W, 3), gamma-encoded, 0..255."""

AnyRgbImage = NDArray[Any]
"""sRGB, (H, W, 3), gamma-encoded: uint8, 0..255, or uint16, 0..65535."""

AnyPlanes = NDArray[Any]
"""uint8 or uint16 levels of any channels; each use documents its shape."""

FloatArray = NDArray[np.float32]
"""float32; each use documents its shape, unit and range."""


@dataclass(frozen=True, slots=True)
class ImageSize:
    """Height and width in pixels; they have names so that they cannot be swapped."""

    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a size needs at least one pixel a side, not {self}")

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def pixels(self) -> int:
        """Return the number of pixels."""
        return self.height * self.width


class ModelKind(StrEnum):
    """How a network predicts ab: as a distribution over bins, or directly."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class ColorSpace(StrEnum):
    """The plane that the bins of a classification network lie in."""

    LAB = "lab"  # ab, CIELAB units
    YUV = "yuv"  # U in -.436...436, V in -.615...615
