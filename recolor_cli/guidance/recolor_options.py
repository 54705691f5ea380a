"""The options of one recoloring, checked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recolor_cli.guidance.prediction import Steering


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
