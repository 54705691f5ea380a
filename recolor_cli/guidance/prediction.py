"""A network's answer about one picture, and all that can be made of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import cv2
import numpy as np

from recolor_cli.color.annealed_mean import Distribution
from recolor_cli.color.gamut import AbBins
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.guidance.confidence import confidence_map, entropy
from recolor_cli.guidance.hint_files import Hints
from recolor_cli.guidance.hint_propagation import spread
from recolor_cli.guidance.palette_matching import STRENGTH, Palette, match_palette
from recolor_cli.guidance.variants import variants
from recolor_cli.types import FloatArray, RgbImage


@dataclass(frozen=True, eq=False, slots=True)
class Steering:
    """What a user adds to what the network thinks.

    Parameters
    ----------
    palette : Palette or None
        Colors to pull toward.
    palette_strength : float
        How far, 0..1.
    hints : Hints or None
        Colors at places.

    Raises
    ------
    ValueError
        If the strength is out of its range.
    """

    palette: Palette | None = None
    palette_strength: float = STRENGTH
    hints: Hints | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.palette_strength <= 1:
            raise ValueError(f"palette_strength must lie in 0..1, not {self.palette_strength}")


@dataclass(frozen=True, eq=False)
class Prediction:
    """The distribution that a network answered with, of one picture.

    Parameters
    ----------
    distribution : Distribution
        Of one picture.
    lightness : float32 array, shape (S, S), 0..100
        What the network saw.
    box : Letterbox
        Where the picture lies in that.
    temperature : float
        Of the annealed mean, dimensionless, > 0.
    scale, strength : float
        Factors on the color: the model's own, and the user's.
    steering : Steering
    """

    distribution: Distribution
    lightness: FloatArray
    box: Letterbox
    temperature: float
    scale: float
    strength: float
    steering: Steering

    def variants(self, count: int, seed: int = 0) -> list[FloatArray]:
        """Return colorings of the picture, steered; the first is the network's own.

        Parameters
        ----------
        count : int
            1 to `recolor_cli.guidance.variants.MOST`.
        seed : int
            The same one gives the same variants.

        Returns
        -------
        list of float32 arrays, shape (h, w, 2), CIELAB units
            Over the letterboxed square.

        Raises
        ------
        InputError
            If a hint does not fit the picture.
        """
        factor = self._factor * self.strength
        colorings = variants(
            self._logits, self._bins, self._lightness, self.temperature, factor, count, seed
        )
        return [self._hinted(self._padded(ab) * np.float32(factor)) for ab in colorings]

    @cached_property
    def entropy(self) -> FloatArray:
        """Of the network's own distribution, nats, shape (h, w) over the square."""
        return entropy(self.distribution.logits[0])

    @property
    def uncertainty(self) -> float:
        """The mean entropy over the picture, nats."""
        return float(self.entropy[self._part].mean())

    def confidence_map(self) -> RgbImage:
        """Draw the entropy, as `recolor_cli.guidance.confidence.confidence_map` does."""
        return confidence_map(self.entropy, self.box, math.log(len(self._bins)))

    @property
    def _bins(self) -> AbBins:
        return self.distribution.bins

    @property
    def _factor(self) -> float:
        return float(self.distribution.factor[0]) * self.scale

    @cached_property
    def _logits(self) -> FloatArray:
        """The logits (Q, h, w) of the picture without padding, pulled toward the palette."""
        rows, columns = self._part
        logits: FloatArray = self.distribution.logits[0][:, rows, columns]
        palette, strength = self.steering.palette, self.steering.palette_strength
        if palette is None:
            return logits
        # The weights are found before the color is scaled.
        sought = Palette(palette.ab / np.float32(max(self._factor, 1e-3)), palette.shares)
        return match_palette(
            logits, self._bins, sought, strength, self.temperature, self._lightness
        )

    def _hinted(self, ab: FloatArray) -> FloatArray:
        hints = self.steering.hints
        if hints is None:
            return ab
        return spread(ab, self.lightness, self._inside > 0.5, hints.seeds(self.box))

    def _padded(self, ab: FloatArray) -> FloatArray:
        """Put the picture's ab (h, w, 2) back into the square, whose padding continues it."""
        shape = self.distribution.logits.shape[2:]
        margins = [
            (part.start, side - part.stop) for part, side in zip(self._part, shape, strict=True)
        ]
        return np.pad(ab, (*margins, (0, 0)), mode="edge")

    @cached_property
    def _part(self) -> tuple[slice, slice]:
        """Rows and columns of the distribution that show the picture, at least half."""
        inside = self._reduced(self._inside)
        seen = inside >= min(0.5, float(inside.max()))  # a thin picture fills no pixel
        rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
        return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)

    @cached_property
    def _lightness(self) -> FloatArray:
        """Of the picture without padding, as coarse as the distribution."""
        return np.ascontiguousarray(self._reduced(self.lightness)[self._part])

    @cached_property
    def _inside(self) -> FloatArray:
        """1 where the square shows the picture, 0 in the padding."""
        inner = self.box.inner
        return self.box.apply(np.ones((inner.height, inner.width), np.float32), 0)

    def _reduced(self, plane: FloatArray) -> FloatArray:
        height, width = self.distribution.logits.shape[2:]
        return cast(FloatArray, cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA))
