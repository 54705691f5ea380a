"""Array aliases, sizes and choices that all packages share."""

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


class ModelKind(StrEnum):
    """How a network arrives at ab."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class ColorSpace(StrEnum):
    """In which plane the bins of a classification network lie."""

    LAB = "lab"  # ab, CIELAB units
    YUV = "yuv"  # U in -.436...436, V in -.615...615
