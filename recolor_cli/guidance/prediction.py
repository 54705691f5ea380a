"""A network's distribution for one picture, and the colorings that are made from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar, cast

import cv2
import numpy as np

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.annealed_mean import Distribution, annealed_mean, softmax
from recolor_cli.color.flat_areas import unify_flat_areas
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.color.refinement import refine
from recolor_cli.guidance.confidence import confidence_map, entropy
from recolor_cli.guidance.hint_propagation import DRAFT_ITERATIONS, MAX_ITERATIONS, propagate_hints
from recolor_cli.guidance.likely_colors import LikelyColor, likely_colors
from recolor_cli.guidance.palette_bank import bank_palettes
from recolor_cli.guidance.palette_matching import (
    Palette,
    apply_weights,
    match_palette,
    sample_places,
    smooth_logits,
    smoothing,
)
from recolor_cli.guidance.recolor_options import MAX_VARIANTS, Steering
from recolor_cli.guidance.variants import STRENGTH, mean_distribution, select_palettes
from recolor_cli.types import FloatArray, RgbImage

_Stage = TypeVar("_Stage")


@dataclass(frozen=True, slots=True)
class ColorFactors:
    """All factors on the ab of a network; this is the one place that multiplies them.

    Parameters
    ----------
    model : float
        The strength of the model file's manifest.
    user : float
        The strength of the options.
    network : float
        The factor that the network itself gives a picture, such as a photograph. Its graph has
        applied it to the ab of `ColorNetwork.predict`, so that it is 1 there; the logits of a
        `Distribution` are without it.
    """

    model: float
    user: float
    network: float = 1.0

    @property
    def without_user(self) -> float:
        """Return the factor at a user's strength of 1."""
        return self.network * self.model

    @property
    def total(self) -> float:
        """Return the product of all."""
        return self.without_user * self.user


@dataclass(frozen=True, eq=False)
class Prediction:
    """The distribution of a network for one picture.

    `dataclasses.replace` gives it another temperature, factors or steering. Stages that do not
    depend on these keep their results.

    Parameters
    ----------
    distribution : Distribution
        Of one picture, over the canvas.
    lightness : float32 array, shape (H, W), 0..100
        The canvas that the network read.
    letterbox : Letterbox
        The place of the picture in the canvas.
    temperature : float
        Of the annealed mean, dimensionless, > 0.
    factors : ColorFactors
    steering : Steering
    refined : bool
        Whether the colorings are refined (`recolor_cli.color.refinement`).
    """

    distribution: Distribution
    lightness: FloatArray
    letterbox: Letterbox
    temperature: float
    factors: ColorFactors
    steering: Steering
    refined: bool
    _stages: dict[str, tuple[Hashable, object]] = field(default_factory=dict, repr=False)

    def picked(self, draft: bool = False) -> FloatArray:
        """Return the coloring that the options pick, as `variants` does.

        Parameters
        ----------
        draft : bool
            Spread hints at half the resolution, in a third of the time or less.
        """
        pick = self.steering.pick

        def decode() -> FloatArray:
            return self._decode(self._palettes(pick - 1)[-1:])[-1]

        key = (*self._palette_key, pick, self.steering.seed if pick > 1 else 0)
        decoded = self._stage("decoded", key, decode)
        key = (*key, self.factors)
        refined = self._stage("refined", key, lambda: self._refine(decoded))
        return self._apply_hints(refined, draft)

    def variants(self, count: int) -> list[FloatArray]:
        """Return steered colorings of the picture; the first is the most likely one.

        Parameters
        ----------
        count : int
            1 to `recolor_cli.guidance.recolor_options.MAX_VARIANTS`.

        Returns
        -------
        list of float32 arrays, shape (h, w, 2), CIELAB units
            Over the letterboxed canvas, with all factors applied.

        Raises
        ------
        InputError
            If a hint does not fit the picture.
        ValueError
            If the count is out of its range.
        """
        if not 1 <= count <= MAX_VARIANTS:
            raise ValueError(f"expected 1 to {MAX_VARIANTS} variants, not {count}")
        refined = (self._refine(ab) for ab in self._decode(self._palettes(count - 1)))
        return [self._apply_hints(ab) for ab in refined]

    def detached(self) -> Prediction:
        """Return a copy that keeps its work to itself, for another thread than this one."""
        return replace(self, _stages=dict(self._stages))

    def _decode(self, palettes: list[Palette]) -> list[FloatArray]:
        """Return the ab of the picture, and one in the colors of each palette.

        They are without padding, factors and hints.
        """
        variants = [self._content_logits]
        if palettes:
            smooth = self._smooth_content_logits()
            variants += [self._match(smooth, palette, STRENGTH) for palette in palettes]
        decoded = (annealed_mean(one[None], self._bins, self.temperature)[0] for one in variants)
        return [np.ascontiguousarray(ab.transpose(1, 2, 0)) for ab in decoded]

    def _match(self, smooth: FloatArray, palette: Palette, strength: float) -> FloatArray:
        """Pull smoothed logits toward a palette, which is seen after the factors are applied."""
        palette = palette.before_factor(self.factors.without_user)
        return match_palette(smooth, self._bins, palette, strength, self.temperature)

    @property
    def _palette_key(self) -> tuple[Hashable, ...]:
        """All that decides the content logits and how they are decoded."""
        steering = self.steering
        weights = steering.palette_weights
        return (
            self.temperature,
            steering.palette,
            steering.palette_strength,
            None if weights is None else id(weights),
        )

    def _stage(self, stage: str, key: Hashable, make: Callable[[], _Stage]) -> _Stage:
        """Return the result of a stage, computed anew only if its key differs from the last."""
        found = self._stages.get(stage)
        if found is None or found[0] != key:
            found = self._stages[stage] = key, make()
        return cast(_Stage, found[1])

    def _palettes(self, count: int) -> list[Palette]:
        """Select palettes of the bank for variants of this picture."""
        if not count:
            return []
        distribution = mean_distribution(self._content_logits, self.temperature)
        seed = self.steering.seed
        return select_palettes(distribution, self._bins, bank_palettes(), count, seed)

    @cached_property
    def entropy(self) -> FloatArray:
        """The entropy of the network's own distribution, nats, shape (h, w) over the canvas."""
        return entropy(self.distribution.logits[0])

    @property
    def uncertainty(self) -> float:
        """The mean entropy over the picture, nats."""
        return float(self.entropy[self._content_slices].mean())

    def confidence_map(self) -> RgbImage:
        """Draw the entropy; see `recolor_cli.guidance.confidence.confidence_map`."""
        return confidence_map(self.entropy, self.letterbox, math.log(len(self._bins)))

    def likely_colors(self, x: float, y: float, count: int = 5) -> list[LikelyColor]:
        """Return the colors that the network thinks likely at a pixel of the picture.

        Parameters
        ----------
        x, y : float
            Pixels of the picture, from its upper left corner.
        count : int
            How many at most.
        """
        logits = self._own_content_logits
        place = []
        for value, side, cells in (
            (y, self.letterbox.source.height, logits.shape[1]),
            (x, self.letterbox.source.width, logits.shape[2]),
        ):
            cell = min(max(int((value + 0.5) * cells / side), 0), cells - 1)
            place.append(slice(max(cell - 1, 0), cell + 2))
        around = softmax(logits[:, place[0], place[1]]).reshape(len(logits), -1)
        return likely_colors(around.mean(axis=1), self._bins, self.factors.without_user, count)

    def lightness_at(self, x: float, y: float) -> float:
        """Return L*, 0..100, at a pixel of the picture, as the network saw it."""
        box = self.letterbox
        row = box.top + int((y + 0.5) * box.inner.height / box.source.height)
        column = box.left + int((x + 0.5) * box.inner.width / box.source.width)
        height, width = self.lightness.shape
        return float(self.lightness[min(row, height - 1), min(column, width - 1)])

    @property
    def _bins(self) -> AbBins:
        return self.distribution.bins

    @cached_property
    def _own_content_logits(self) -> FloatArray:
        """The network's logits (Q, h, w) of the picture without padding."""
        rows, columns = self._content_slices
        logits: FloatArray = self.distribution.logits[0][:, rows, columns]
        return logits

    def _smooth_own_logits(self, strength: float) -> FloatArray:
        """Return the network's logits of the picture without padding, smoothed for a palette."""
        logits = self._own_content_logits
        change = self._stage("smoothing", (), lambda: smoothing(logits, self._content_lightness))
        return self._stage("smooth", strength, lambda: smooth_logits(logits, strength, change))

    @property
    def _content_logits(self) -> FloatArray:
        """The logits (Q, h, w) of the picture without padding, pulled toward the palette."""
        if self.steering.effective_palette is None:
            return self._own_content_logits
        return self._stage("matched", self._palette_key, self._matched_logits)

    def _matched_logits(self) -> FloatArray:
        steering = self.steering
        assert steering.palette is not None
        strength = steering.palette_strength
        smooth = self._smooth_own_logits(strength)
        if steering.palette_weights is not None:
            return apply_weights(smooth, steering.palette_weights, self.temperature)
        return self._match(smooth, steering.palette, strength)

    def _smooth_content_logits(self) -> FloatArray:
        """Return the logits of `_content_logits`, smoothed for the palettes of variants."""
        logits, light = self._content_logits, self._content_lightness
        if logits is self._own_content_logits:
            return self._smooth_own_logits(STRENGTH)
        return self._stage(
            "matched smooth",
            self._palette_key,
            lambda: smooth_logits(logits, STRENGTH, smoothing(logits, light)),
        )

    def _refine(self, ab: FloatArray) -> FloatArray:
        """Pad decoded ab, apply the factors, and refine it. Hints follow: they may divide an area.

        Paper keeps the color that a palette gave it.
        """
        ab = self._pad(ab) * np.float32(self.factors.total)
        if self.refined:
            step = refine if self.steering.effective_palette is None else unify_flat_areas
            ab = step(ab, self.lightness, self.letterbox.inside)
        return ab

    def palette_samples(self, count: int) -> FloatArray:
        """Return the smoothed logits of about `count` places, shape (Q, n), for `fit_weights`."""
        return sample_places(self._smooth_own_logits(self.steering.palette_strength), count)

    def _apply_hints(self, ab: FloatArray, draft: bool = False) -> FloatArray:
        hints = self.steering.hints
        if not hints:
            return ab
        constraints = hints.constraints(self.letterbox)
        lightness, content = self.lightness, self._content_mask
        ab = self._enlarge(ab)
        iterations = DRAFT_ITERATIONS if draft else MAX_ITERATIONS
        if draft:
            constraints = constraints.halved()
            height, width = constraints.fixed.shape
            lightness, content, ab = (
                cast(FloatArray, cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA))
                for plane in (lightness, content, ab)
            )
        return propagate_hints(ab, lightness, content > 0.5, constraints, iterations)

    def _enlarge(self, ab: FloatArray) -> FloatArray:
        """Enlarge ab to the canvas as `Letterbox.upsample` does, so that far pixels stay."""
        box = self.letterbox
        large = np.zeros((box.canvas.height, box.canvas.width, 2), np.float32)
        large[box.inside] = replace(box, source=box.inner).invert(ab)
        return large

    def _pad(self, ab: FloatArray) -> FloatArray:
        """Pad the picture's ab (h, w, 2) to the canvas; the padding repeats its edges."""
        shape = self.distribution.logits.shape[2:]
        margins = [
            (content.start, side - content.stop)
            for content, side in zip(self._content_slices, shape, strict=True)
        ]
        return np.pad(ab, (*margins, (0, 0)), mode="edge")

    @cached_property
    def _content_slices(self) -> tuple[slice, slice]:
        """Rows and columns of the distribution of which the picture covers at least half."""
        covered = self._shrink_to_logits(self._content_mask)
        content = covered >= min(0.5, float(covered.max()))  # a thin picture covers no pixel
        rows, columns = (np.flatnonzero(content.any(axis=axis)) for axis in (1, 0))
        return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)

    @cached_property
    def _content_lightness(self) -> FloatArray:
        """L* of the picture without padding, at the resolution of the distribution."""
        return np.ascontiguousarray(self._shrink_to_logits(self.lightness)[self._content_slices])

    @cached_property
    def _content_mask(self) -> FloatArray:
        """1 where the canvas shows the picture, 0 in the padding."""
        inner = self.letterbox.inner
        return self.letterbox.apply(np.ones((inner.height, inner.width), np.float32), 0)

    def _shrink_to_logits(self, plane: FloatArray) -> FloatArray:
        height, width = self.distribution.logits.shape[2:]
        return cast(FloatArray, cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA))
