"""The options of one recoloring, checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

# Only for their types: the program that starts worker processes needs no OpenCV.
if TYPE_CHECKING:
    from recolor_cli.guidance.hints import Hints
    from recolor_cli.guidance.palette_matching import Palette

MAX_VARIANTS = 16  # more would no longer be clearly different
DEFAULT_STRENGTH = 0.8  # of a palette: 0 changes nothing, 1 takes over its histogram


@dataclass(frozen=True, eq=False, slots=True)
class Steering:
    """Changes to a network's distribution: a palette, hints, and the choice of a variant.

    Parameters
    ----------
    palette : Palette or None
        Colors to pull toward.
    palette_strength : float
        How far to pull, 0..1.
    hints : Hints or None
        Colors at places.
    palette_weights : float32 array, shape (Q,), or None
        Of `palette_matching.fit_weights`, fitted to several pictures that share the palette. None
        fits weights to each picture.
    pick : int
        Which variant becomes the result, 1 to `MAX_VARIANTS`; 1 is the network's own coloring.
    seed : int
        Which variants there are, at least 0.

    Raises
    ------
    TypeError
        If the palette or the hints are something else.
    ValueError
        If a number is out of its range.
    """

    palette: Palette | None = None
    palette_strength: float = DEFAULT_STRENGTH
    hints: Hints | None = None
    palette_weights: NDArray[np.float32] | None = None
    pick: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.pick <= MAX_VARIANTS or self.seed < 0:
            raise ValueError(f"there is no variant {self.pick} of seed {self.seed}")
        if not 0 <= self.palette_strength <= 1:
            raise ValueError(f"palette_strength must lie in 0..1, not {self.palette_strength}")
        if self.palette is not None:
            _check_palette(self.palette)
        if self.hints is not None:
            _check_hints(self.hints)

    @property
    def effective_palette(self) -> Palette | None:
        """Return the palette, or None if its strength is 0, which changes nothing."""
        return self.palette if self.palette_strength else None


@dataclass(frozen=True, slots=True)
class RecolorOptions:
    """Options of one recoloring.

    Parameters
    ----------
    temperature : float or None
        Temperature of the annealed mean, dimensionless, 0.01..10. Lower is more vivid and
        patchier. None takes the model's own.
    strength : float
        Factor on the chroma of the result, 0 (gray) to 3.
    keep_original : float
        Share of the picture's own color in the result, 0..1.
    only_gray : bool
        Keep the picture's colored parts as they are.
    mask : uint8 array, shape (h, w), or None
        Where to recolor: 255 recolors, 0 keeps the pixel, values between mix. The mask may have
        another size than the picture, but not another shape.
    steering : Steering or None
        A palette and hints, for networks with a distribution.

    Raises
    ------
    TypeError
        If the mask is no array, or the steering something else.
    ValueError
        If a value is out of its range.
    """

    temperature: float | None = None
    strength: float = 1.0
    keep_original: float = 0.0
    only_gray: bool = False
    mask: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)
    steering: Steering | None = field(default=None, compare=False)

    @property
    def names_places(self) -> bool:
        """Whether the options concern places of a picture, so that they may not fit it."""
        return self.mask is not None or bool(self.steering and self.steering.hints)

    def __post_init__(self) -> None:
        # Softmax is all but an argmax below 0.01, and all but the mean of all bins above 10.
        if self.temperature is not None and not 0.01 <= self.temperature <= 10:
            raise ValueError(f"temperature must lie in 0.01..10, not {self.temperature}")
        if not 0 <= self.strength <= 3:
            raise ValueError(f"strength must lie in 0..3, not {self.strength}")
        if not 0 <= self.keep_original <= 1:
            raise ValueError(f"keep_original must lie in 0..1, not {self.keep_original}")
        if self.mask is not None:
            _check_mask(self.mask)
        if not isinstance(self.steering, Steering | None):
            found = type(self.steering).__name__
            raise TypeError(f"steering must be a Steering, not {found}; use Steering(hints=...)")


def _check_palette(palette: object) -> None:
    from recolor_cli.guidance.palette_matching import Palette  # who has one has loaded it

    if not isinstance(palette, Palette):
        advice = f"; use load_palette({palette!r})" if isinstance(palette, str) else ""
        raise TypeError(f"palette must be a Palette, not {type(palette).__name__}{advice}")


def _check_hints(hints: object) -> None:
    from recolor_cli.guidance.hints import Hints  # who has some has loaded it

    if not isinstance(hints, Hints):
        advice = "; use Hints([Hint(x, y, color), ...])"
        raise TypeError(f"hints must be Hints, not {type(hints).__name__}{advice}")


def _check_mask(mask: object) -> None:
    wanted = "the mask must be a uint8 array (h, w), 0..255"
    if not isinstance(mask, np.ndarray):
        raise TypeError(f"{wanted}, not {type(mask).__name__}; convert it with numpy.asarray")
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise ValueError(f"{wanted}, not {mask.dtype} {mask.shape}")
