"""Generate several colorings of one picture from the distribution of a network.

A distribution says which colors each place may have, but nothing about the coloring as a whole:
drawing each place by itself gives confetti. So the picture is divided into a few soft regions of
similar lightness, color and place. A variant is a layout: one goal color for each region, drawn
from the colors that the network thinks likely there. A goal multiplies the distribution of each
place of its region by a broad Gaussian. Places where the network is sure keep their color, and
others move toward the goal. Many layouts are drawn. Farthest-point selection takes those that
differ most from one another, with likelihood as a counterweight.

The places of a region should change together. So the goals act on a steering distribution: the
network's, smoothed but not across edges of lightness, and for the most part averaged over the
region. The resulting change of color is smoothed as well, and added to the network's own color,
which keeps its detail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.annealed_mean import annealed_mean, softmax
from recolor_cli.color.gamut_mapping import clip_chroma
from recolor_cli.guidance.guided_filter import guided_filter
from recolor_cli.types import FloatArray

MAX_VARIANTS = 16  # more would no longer be clearly different
_REGIONS = 4
_LAYOUTS = 96  # drawn, of which the variants are selected
_DISTANCE = 7.2  # CIE94, mean over the picture, from the network's own coloring to a layout
_NEAREST, _FARTHEST = 0.85, 1.4  # factors on that; it cannot be met where the color jumps
_GOAL_SIGMA = 22.0  # ab units, of the Gaussian around a goal
_MOOD_SHARE = 0.25  # share of a goal that all regions have in common
_FLATTENING = 0.8  # power of a region's distribution before goals are drawn from it
_COST_OF_UNLIKELINESS = 2.0  # CIE94 per nat, in the selection
_SATURATION_RISK = 0.004  # nats per squared ab unit; errors in saturated colors are large
_LIKELIEST = 0.7  # share of the layouts that can be selected
_REGION_SHARE = 0.7  # share of a region's mean in the steering distribution
_SAMPLES = 200  # places of the picture that layouts are judged by
_MAX_POWER, _HALVINGS = 4.0, 7  # of a goal's Gaussian; bisection steps of its search
# Standard deviations of likeness: L* and ab in CIELAB units, place as a share of the longest side.
_LIGHTNESS_SIGMA, _AB_SIGMA, _PLACE_SIGMA = 18.0, 9.0, 2 / 3
# Radius of the guided filter as a share of the longest side; variance that counts as flat, L* ^ 2.
_COHERENCE_WINDOW, _EDGE_WINDOW = (6 / 64, 40.0), (3 / 64, 30.0)


@dataclass(frozen=True, slots=True)
class _Layout:
    """One goal for each region, and its effect on some places of the picture."""

    goals: FloatArray  # (K, 2), ab
    power: float  # of the goals' Gaussians
    shown: FloatArray  # (places, 2), ab as a screen shows it
    distance: float  # CIE94 from the network's own coloring
    unlikeliness: float  # nats: relative entropy plus the cost of saturation


def generate_variants(
    logits: FloatArray,
    bins: AbBins,
    lightness: FloatArray,
    temperature: float,
    factor: float,
    count: int,
    seed: int,
) -> list[FloatArray]:
    """Return clearly different colorings, the network's own first, the others by likelihood.

    Parameters
    ----------
    logits : float32 array, shape (Q, h, w)
        Unnormalised log-probabilities over the Q bins, of the picture without padding.
    bins : AbBins
    lightness : float32 array, shape (h, w), 0..100
    temperature : float
        Of the annealed mean, dimensionless, > 0.
    factor : float
        Factor on ab before it is shown, so that differences are measured as they will look.
    count : int
        1..`MAX_VARIANTS`.
    seed : int
        At least 0; the same seed gives the same variants.

    Returns
    -------
    list of float32 arrays, shape (h, w, 2), CIELAB units
        Without the factor.

    Raises
    ------
    ValueError
        If the count is out of its range.
    """
    if not 1 <= count <= MAX_VARIANTS:
        raise ValueError(f"expected 1 to {MAX_VARIANTS} variants, not {count}")
    own = _decode(logits, bins, temperature)
    if count == 1:
        return [own]
    regions = _divide_into_regions(own, lightness)
    steering = _steering_logits(logits, regions, lightness)
    random = np.random.default_rng(seed)
    judge = _Judge(steering, regions, own, bins, lightness, temperature, factor)
    layouts = [judge.layout(goals) for goals in _draw_goals(steering, regions, bins, random)]
    selected = _select_layouts(layouts, judge.own, count - 1)
    before = _decode(steering, bins, temperature)
    result = [own]
    for layout in sorted(selected, key=lambda one: one.unlikeliness):
        pull = layout.power * np.tensordot(_goal_logits(layout.goals, bins), regions, axes=(0, 0))
        change = _decode(steering + pull, bins, temperature) - before
        change = _smooth(change.transpose(2, 0, 1), lightness, _EDGE_WINDOW)
        result.append(own + change.transpose(1, 2, 0))
    return result


def cie94(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the CIE94 difference of colors of equal lightness, arrays (..., 2) of ab.

    It is symmetric: the geometric mean of both chromas weights it. Source: CIE 116.
    """
    chroma, other_chroma = np.linalg.norm(one, axis=-1), np.linalg.norm(other, axis=-1)
    mean = np.sqrt(chroma * other_chroma)
    chroma_part = np.square(chroma - other_chroma)
    hue_part = np.maximum(np.square(one - other).sum(axis=-1) - chroma_part, 0)
    return cast(
        FloatArray,
        np.sqrt(chroma_part / np.square(1 + 0.045 * mean) + hue_part / np.square(1 + 0.015 * mean)),
    )


class _Judge:
    """Measures the effect of goals on some places of the picture."""

    def __init__(
        self,
        steering: FloatArray,
        regions: FloatArray,
        own: FloatArray,
        bins: AbBins,
        lightness: FloatArray,
        temperature: float,
        factor: float,
    ) -> None:
        step = max(1, lightness.size // _SAMPLES)
        self._logits = _flatten(steering)[:, ::step]
        self._regions = _flatten(regions)[:, ::step]
        self._lightness = lightness.ravel()[::step]
        self._bins, self._temperature, self._factor = bins, np.float32(temperature), factor
        self._log_p = np.log(softmax(self._logits) + np.float32(1e-12))
        self._offset = own.reshape(-1, 2)[::step] - self._mean(self._logits)
        self.own = self._shown(self._logits)

    def layout(self, goals: FloatArray) -> _Layout:
        """Find the power at which goals change the picture by `_DISTANCE`."""
        pull = _goal_logits(goals, self._bins).T @ self._regions
        low, high = 0.0, _MAX_POWER
        for _ in range(_HALVINGS):
            power = (low + high) / 2
            shown = self._shown(self._logits + np.float32(power) * pull)
            distance = float(cie94(shown, self.own).mean())
            low, high = (power, high) if distance < _DISTANCE else (low, power)
        log_q = np.log(softmax(self._logits + np.float32(power) * pull) + np.float32(1e-12))
        entropy = float((np.exp(log_q) * (log_q - self._log_p)).sum(axis=0).mean())
        square = float(np.square(shown - self.own).sum(axis=-1).mean())
        return _Layout(goals, power, shown, distance, entropy + _SATURATION_RISK * square)

    def _mean(self, logits: FloatArray) -> FloatArray:
        return cast(FloatArray, softmax(logits / self._temperature).T @ self._bins.centers)

    def _shown(self, logits: FloatArray) -> FloatArray:
        """Return ab as a screen shows it, shape (places, 2)."""
        ab = (self._mean(logits) + self._offset) * np.float32(self._factor)
        return cast(FloatArray, clip_chroma(self._lightness[None], ab[None])[0])


def _select_layouts(layouts: list[_Layout], own: FloatArray, count: int) -> list[_Layout]:
    """Select layouts one by one, far from all before and likely at the same time."""
    limit = np.quantile([layout.unlikeliness for layout in layouts], _LIKELIEST)
    near, far = _NEAREST * _DISTANCE, _FARTHEST * _DISTANCE

    def penalty(layout: _Layout) -> float:
        """Return 0 for a layout that is neither too near, too far nor too unlikely; else less."""
        deviation = max(near - layout.distance, layout.distance - far, 0)
        return -10 * (deviation + max(layout.unlikeliness - float(limit), 0))

    fitness = np.array(
        [penalty(layout) - _COST_OF_UNLIKELINESS * layout.unlikeliness for layout in layouts]
    )
    shown = np.stack([layout.shown for layout in layouts])
    nearest = cie94(shown, own).mean(axis=-1)
    selected: list[_Layout] = []
    while len(selected) < count:
        best = int((nearest + fitness).argmax())
        selected.append(layouts[best])
        nearest = np.minimum(nearest, cie94(shown, shown[best]).mean(axis=-1))
        fitness[best] = -np.inf
    return selected


def _draw_goals(
    steering: FloatArray,
    regions: FloatArray,
    bins: AbBins,
    random: np.random.Generator,
) -> FloatArray:
    """Draw layouts, shape (`_LAYOUTS`, K, 2): a goal for each region, mixed with a common mood."""
    p, members = _flatten(softmax(steering)), _flatten(regions)
    p_of_regions = (p @ members.T / np.maximum(members.sum(axis=1), 1e-6)).T
    goals = np.stack([_draw_colors(p_region, bins, random) for p_region in p_of_regions], axis=1)
    mood = _draw_colors(p.mean(axis=1), bins, random)[:, None]
    return cast(FloatArray, ((1 - _MOOD_SHARE) * goals + _MOOD_SHARE * mood).astype(np.float32))


def _draw_colors(p: FloatArray, bins: AbBins, random: np.random.Generator) -> FloatArray:
    flattened = p.astype(np.float64) ** _FLATTENING
    index = random.choice(len(bins), _LAYOUTS, p=flattened / flattened.sum())
    return bins.centers[index]


def _goal_logits(goals: FloatArray, bins: AbBins) -> FloatArray:
    """Return the logarithm of a Gaussian around each goal, shape (K, Q)."""
    distance = np.square(bins.centers - goals[:, None]).sum(axis=-1)
    return cast(FloatArray, (-distance / (2 * _GOAL_SIGMA**2)).astype(np.float32))


def _steering_logits(logits: FloatArray, regions: FloatArray, lightness: FloatArray) -> FloatArray:
    """Return logits that the places of a region have nearly in common."""
    centered = logits - logits.mean(axis=0)  # a constant over all bins has no meaning
    smooth = _smooth(centered, lightness, _COHERENCE_WINDOW)
    members = _flatten(regions)
    means = _flatten(centered) @ members.T / np.maximum(members.sum(axis=1), np.float32(1e-6))
    averaged = np.tensordot(means, regions, axes=(1, 0))
    return cast(FloatArray, smooth + np.float32(_REGION_SHARE) * (averaged - smooth))


def _divide_into_regions(ab: FloatArray, lightness: FloatArray) -> FloatArray:
    """Divide the picture into soft regions: float32, shape (K, h, w), with a sum of 1 everywhere.

    The method is k-means. It starts from the most ordinary place, and from those farthest from it
    and from one another.
    """
    height, width = lightness.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    sigma = max(lightness.shape) / 64
    looks = np.dstack(
        [
            cv2.GaussianBlur(lightness, (0, 0), sigma) / np.float32(_LIGHTNESS_SIGMA),
            cv2.GaussianBlur(ab, (0, 0), sigma) / np.float32(_AB_SIGMA),
            columns / _PLACE_SIGMA,
            rows / _PLACE_SIGMA,
        ]
    ).astype(np.float32)
    flat = looks.reshape(-1, looks.shape[-1])
    centers = flat[[np.square(flat - flat.mean(axis=0)).sum(axis=-1).argmin()]]
    while len(centers) < _REGIONS:
        distance = np.square(flat[:, None] - centers).sum(axis=-1).min(axis=1)
        centers = np.vstack((centers, flat[distance.argmax()]))
    for _ in range(25):
        nearest = np.square(flat[:, None] - centers).sum(axis=-1).argmin(axis=1)
        for number in np.unique(nearest):
            centers[number] = flat[nearest == number].mean(axis=0)
    distance = np.square(looks[:, :, None] - centers).sum(axis=-1)
    members = softmax(-distance.transpose(2, 0, 1))
    members = np.clip(_smooth(members, lightness, _EDGE_WINDOW), 0, 1)
    return cast(FloatArray, members / np.maximum(members.sum(axis=0), np.float32(1e-6)))


def _smooth(planes: FloatArray, lightness: FloatArray, window: tuple[float, float]) -> FloatArray:
    """Smooth planes by a guided filter whose radius follows the size of the picture."""
    radius_share, flat_variance = window
    radius = max(1, round(radius_share * max(lightness.shape)))
    return guided_filter(planes, lightness, radius, flat_variance)


def _flatten(planes: FloatArray) -> FloatArray:
    """Reshape planes (C, h, w) to (C, places)."""
    return planes.reshape(len(planes), -1)


def _decode(logits: FloatArray, bins: AbBins, temperature: float) -> FloatArray:
    """Decode logits (Q, h, w) to ab, shape (h, w, 2)."""
    ab = annealed_mean(logits[None], bins, temperature)[0]
    return np.ascontiguousarray(ab.transpose(1, 2, 0))
