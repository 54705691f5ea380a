"""Several colorings of one picture, from the one distribution that a network answers with.

A distribution says of each place alone which colors it may have. What is a coloring of the whole is
not in it: drawing each place by itself gives confetti. So the picture is divided into a few soft
regions of similar lightness, color and place, and a variant is a choice of one goal color a region,
drawn from what the network thinks likely there. A goal multiplies the distribution of each place
with a broad Gaussian around it, as far as the region reaches: what the network is sure of stays,
what it is not goes where the goal is. Of many such layouts those are taken that differ most from
one another (farthest-point selection), with likelihood as a counterweight.

Places of a region are to change together. What decides is therefore the distribution smoothed along
edges of lightness, and for the most part averaged over the region; the change of color that comes
of it, smoothed as well, is added to the network's own color, which keeps its detail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from recolor_cli.color.annealed_mean import annealed_mean, softmax
from recolor_cli.color.gamut import AbBins, clip_chroma
from recolor_cli.guidance.guided_filter import guided
from recolor_cli.types import FloatArray

MOST = 16  # variants; beyond, they are no longer clearly different
_REGIONS = 4
_LAYOUTS = 96  # that are drawn, of which the variants are chosen
_DISTANCE = 7.2  # CIE94, mean over the picture: how far a layout is taken from the network's own
_NEAREST, _FARTHEST = 0.85, 1.4  # times that; where the color jumps it cannot be met
_REACH = 22.0  # ab units, standard deviation of the Gaussian around a goal
_COMMON = 0.25  # how much of a goal is one for the whole picture: its mood
_FLATTER = 0.8  # power of a region's distribution that goals are drawn from
_UNLIKELY = 2.0  # CIE94 a nat of unlikeliness, in the choice
_RISK = 0.004  # nats a squared ab unit: for the truth, unlike the eye, saturated errors are large
_LIKELIEST = 0.7  # share of the layouts that can be chosen
_AVERAGED = 0.7  # how much of what decides is the region's mean, not the place's own
_PLACES = 200  # of the picture that layouts are judged by
_HARDEST, _HALVINGS = 4.0, 7  # of the power of a goal, that is searched
# What is alike: CIELAB units of lightness and of ab, and the longest side.
_SCALES = (18.0, 9.0, 2 / 3)
# Windows of the smoothing, parts of the side, and variances that count as flat, L* squared.
_COHERENCE, _EDGE = (6 / 64, 40.0), (3 / 64, 30.0)


@dataclass(frozen=True, slots=True)
class _Layout:
    """One goal a region, and what it does to some places of the picture."""

    goals: FloatArray  # (K, 2)
    power: float
    shown: FloatArray  # (places, 2), ab
    distance: float  # CIE94 to the network's own coloring
    unlikeliness: float  # nats: relative entropy, and the squared distance in ab


def variants(
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
        What ab is multiplied with before it is shown: for differences as they will look.
    count : int
        How many, 1..`MOST`.
    seed : int
        Of the drawing, at least 0; the same one gives the same variants.

    Returns
    -------
    list of float32 arrays, shape (h, w, 2), CIELAB units
        Without the factor.

    Raises
    ------
    ValueError
        If the count is out of its range.
    """
    if not 1 <= count <= MOST:
        raise ValueError(f"1 to {MOST} variants, not {count}")
    own = _decoded(logits, bins, temperature)
    if count == 1:
        return [own]
    regions = _regions(own, lightness)
    deciding = _coherent(logits, regions, lightness)
    random = np.random.default_rng(seed)
    judge = _Judge(deciding, regions, own, bins, lightness, temperature, factor)
    layouts = [judge.layout(goals) for goals in _goals(deciding, regions, bins, random)]
    before = _decoded(deciding, bins, temperature)
    result = [own]
    for layout in sorted(_chosen(layouts, judge.own, count - 1), key=lambda one: one.unlikeliness):
        pull = layout.power * np.tensordot(_pulls(layout.goals, bins), regions, axes=(0, 0))
        change = _decoded(deciding + pull, bins, temperature) - before
        change = guided(change.transpose(2, 0, 1), lightness, *_window(lightness, _EDGE))
        result.append(own + change.transpose(1, 2, 0))
    return result


def cie94(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the CIE94 difference of colors of the same lightness, arrays (..., 2) of ab.

    Symmetric: the chroma that it is weighted with is the geometric mean of both. Source: CIE 116.
    """
    chroma, other_chroma = np.linalg.norm(one, axis=-1), np.linalg.norm(other, axis=-1)
    mean = np.sqrt(chroma * other_chroma)
    along = np.square(chroma - other_chroma)
    around = np.maximum(np.square(one - other).sum(axis=-1) - along, 0)
    return cast(
        FloatArray,
        np.sqrt(along / np.square(1 + 0.045 * mean) + around / np.square(1 + 0.015 * mean)),
    )


class _Judge:
    """Says of goals how far they lead, on some places of the picture."""

    def __init__(
        self,
        deciding: FloatArray,
        regions: FloatArray,
        own: FloatArray,
        bins: AbBins,
        lightness: FloatArray,
        temperature: float,
        factor: float,
    ) -> None:
        step = max(1, lightness.size // _PLACES)
        self._logits = _flat(deciding)[:, ::step]
        self._regions = _flat(regions)[:, ::step]
        self._lightness = lightness.ravel()[::step]
        self._bins, self._temperature, self._factor = bins, np.float32(temperature), factor
        self._log_p = np.log(softmax(self._logits) + np.float32(1e-12))
        self._offset = own.reshape(-1, 2)[::step] - self._mean(self._logits)
        self.own = self._shown(self._logits)

    def layout(self, goals: FloatArray) -> _Layout:
        """Find the power at which goals lead as far as they are meant to."""
        pull = _pulls(goals, self._bins).T @ self._regions
        low, high = 0.0, _HARDEST
        for _ in range(_HALVINGS):
            power = (low + high) / 2
            shown = self._shown(self._logits + np.float32(power) * pull)
            distance = float(cie94(shown, self.own).mean())
            low, high = (power, high) if distance < _DISTANCE else (low, power)
        log_q = np.log(softmax(self._logits + np.float32(power) * pull) + np.float32(1e-12))
        entropy = float((np.exp(log_q) * (log_q - self._log_p)).sum(axis=0).mean())
        square = float(np.square(shown - self.own).sum(axis=-1).mean())
        return _Layout(goals, power, shown, distance, entropy + _RISK * square)

    def _mean(self, logits: FloatArray) -> FloatArray:
        return cast(FloatArray, softmax(logits / self._temperature).T @ self._bins.centers)

    def _shown(self, logits: FloatArray) -> FloatArray:
        """Return ab as a screen will show it, shape (places, 2)."""
        ab = (self._mean(logits) + self._offset) * np.float32(self._factor)
        return cast(FloatArray, clip_chroma(self._lightness[None], ab[None])[0])


def _chosen(layouts: list[_Layout], own: FloatArray, count: int) -> list[_Layout]:
    """Choose layouts one by one, each as far from all before as its likelihood is worth."""
    limit = np.quantile([layout.unlikeliness for layout in layouts], _LIKELIEST)
    near, far = _NEAREST * _DISTANCE, _FARTHEST * _DISTANCE

    def fitness(layout: _Layout) -> float:
        """Return 0 for a layout that is neither too near, too far nor too unlikely; else less."""
        beside = max(near - layout.distance, layout.distance - far, 0)
        return -10 * (beside + max(layout.unlikeliness - float(limit), 0))

    fitnesses = np.array([fitness(layout) - _UNLIKELY * layout.unlikeliness for layout in layouts])
    shown = np.stack([layout.shown for layout in layouts])
    nearest = cie94(shown, own).mean(axis=-1)
    chosen: list[_Layout] = []
    while len(chosen) < count:
        best = int((nearest + fitnesses).argmax())
        chosen.append(layouts[best])
        nearest = np.minimum(nearest, cie94(shown, shown[best]).mean(axis=-1))
        fitnesses[best] = -np.inf
    return chosen


def _goals(
    deciding: FloatArray,
    regions: FloatArray,
    bins: AbBins,
    random: np.random.Generator,
) -> FloatArray:
    """Draw layouts, shape (`_LAYOUTS`, K, 2): a goal for each region, and a part of one for all."""
    p, members = _flat(softmax(deciding)), _flat(regions)
    of_regions = (p @ members.T / np.maximum(members.sum(axis=1), 1e-6)).T
    goals = np.stack([_drawn(p_region, bins, random) for p_region in of_regions], axis=1)
    mood = _drawn(p.mean(axis=1), bins, random)[:, None]
    return cast(FloatArray, ((1 - _COMMON) * goals + _COMMON * mood).astype(np.float32))


def _drawn(p: FloatArray, bins: AbBins, random: np.random.Generator) -> FloatArray:
    flatter = p.astype(np.float64) ** _FLATTER
    index = random.choice(len(bins), _LAYOUTS, p=flatter / flatter.sum())
    return bins.centers[index]


def _pulls(goals: FloatArray, bins: AbBins) -> FloatArray:
    """Return the logarithm of a Gaussian around each goal, shape (K, Q)."""
    apart = np.square(bins.centers - goals[:, None]).sum(axis=-1)
    return cast(FloatArray, (-apart / (2 * _REACH**2)).astype(np.float32))


def _coherent(logits: FloatArray, regions: FloatArray, lightness: FloatArray) -> FloatArray:
    """Return logits that places of a region have nearly in common."""
    centered = logits - logits.mean(axis=0)  # what is the same for all bins means nothing
    smooth = guided(centered, lightness, *_window(lightness, _COHERENCE))
    members = _flat(regions)
    means = _flat(centered) @ members.T / np.maximum(members.sum(axis=1), np.float32(1e-6))
    averaged = np.tensordot(means, regions, axes=(1, 0))
    return cast(FloatArray, smooth + np.float32(_AVERAGED) * (averaged - smooth))


def _regions(ab: FloatArray, lightness: FloatArray) -> FloatArray:
    """Divide the picture into soft regions: float32, shape (K, h, w), the sum is 1 everywhere.

    k-means from the most ordinary place and those farthest from it and one another.
    """
    height, width = lightness.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    *scales, of_place = _SCALES
    blurred = (
        cv2.GaussianBlur(plane, (0, 0), max(lightness.shape) / 64) for plane in (lightness, ab)
    )
    looks = np.dstack(
        [plane / np.float32(scale) for plane, scale in zip(blurred, scales, strict=True)]
        + [columns / of_place, rows / of_place]
    ).astype(np.float32)
    seen = looks.reshape(-1, looks.shape[-1])
    centers = seen[[np.square(seen - seen.mean(axis=0)).sum(axis=-1).argmin()]]
    while len(centers) < _REGIONS:
        apart = np.square(seen[:, None] - centers).sum(axis=-1).min(axis=1)
        centers = np.vstack((centers, seen[apart.argmax()]))
    for _ in range(25):
        nearest = np.square(seen[:, None] - centers).sum(axis=-1).argmin(axis=1)
        for number in np.unique(nearest):
            centers[number] = seen[nearest == number].mean(axis=0)
    apart = np.square(looks[:, :, None] - centers).sum(axis=-1)
    members = softmax(-apart.transpose(2, 0, 1))
    members = np.clip(guided(members, lightness, *_window(lightness, _EDGE)), 0, 1)
    return cast(FloatArray, members / np.maximum(members.sum(axis=0), np.float32(1e-6)))


def _flat(planes: FloatArray) -> FloatArray:
    """Return planes (C, h, w) as (C, places)."""
    return planes.reshape(len(planes), -1)


def _window(lightness: FloatArray, smoothing: tuple[float, float]) -> tuple[int, float]:
    """Return radius and epsilon of a guided filter for a plane of this size."""
    return max(1, round(smoothing[0] * max(lightness.shape))), smoothing[1]


def _decoded(logits: FloatArray, bins: AbBins, temperature: float) -> FloatArray:
    """Return ab, shape (h, w, 2)."""
    return np.ascontiguousarray(
        annealed_mean(logits[None], bins, temperature)[0].transpose(1, 2, 0)
    )
