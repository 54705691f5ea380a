"""Generate several colorings of one picture, each in the colors of another kind of poster.

The program comes with a bank of palettes: the color histograms of thousands of posters, clustered.
A variant takes the colors of one of them, as `--palette` does, and the network still decides which
places take a color. Palettes are selected one by one: far from those before, and likely for the
picture at the same time.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.annealed_mean import annealed_mean, softmax
from recolor_cli.guidance.palette_matching import (
    LIKE_COLORS,
    Palette,
    apply_weights,
    blur_matrix,
    fit_weights,
    sample_places,
    smooth_logits,
    smoothing,
)
from recolor_cli.types import FloatArray

STRENGTH = 0.8  # of a palette of the bank
_COST_OF_UNLIKELINESS = 0.35  # Hellinger distance per nat, in the selection
_PALETTES_A_SEED = 3  # those of four variants; their number must not change what a seed gives
_MIN_SHARE = 1e-5  # of a bin, so that relative entropies are finite


def generate_variants(
    logits: FloatArray,
    bins: AbBins,
    lightness: FloatArray,
    temperature: float,
    factor: float,
    palettes: list[Palette],
    smooth: FloatArray | None = None,
) -> list[FloatArray]:
    """Return the network's own coloring, and one in the colors of each palette.

    Parameters
    ----------
    logits : float32 array, shape (Q, h, w)
        Unnormalised log-probabilities over the Q bins, of the picture without padding.
    bins : AbBins
    lightness : float32 array, shape (h, w), 0..100
    temperature : float
        Of the annealed mean, dimensionless, > 0.
    factor : float
        Factor on ab before it is shown. Palettes are matched without it, so they are divided by it.
    palettes : list of Palette
    smooth : float32 array, shape (Q, h, w), or None
        The `smooth_logits` of `STRENGTH`, if they are known.

    Returns
    -------
    list of float32 arrays, shape (h, w, 2), CIELAB units
        Without the factor.
    """
    variants = [logits]
    if palettes:
        if smooth is None:
            smooth = smooth_logits(logits, STRENGTH, smoothing(logits, lightness))
        samples = sample_places(smooth)
        for palette in palettes:
            unscaled = palette.scaled(1 / max(factor, 1e-3))
            weights = fit_weights(samples, bins, unscaled, STRENGTH, temperature)
            variants.append(apply_weights(smooth, weights, temperature))
    decoded = (annealed_mean(variant[None], bins, temperature)[0] for variant in variants)
    return [np.ascontiguousarray(ab.transpose(1, 2, 0)) for ab in decoded]


def mean_distribution(logits: FloatArray, temperature: float) -> FloatArray:
    """Return the share of each bin in a whole picture, float32 (Q,), for logits (Q, h, w)."""
    flat = logits.reshape(len(logits), -1) / np.float32(temperature)
    mean: FloatArray = softmax(flat).mean(axis=1)
    return mean


def select_palettes(
    distribution: FloatArray, bins: AbBins, bank: list[Palette], count: int, seed: int
) -> list[Palette]:
    """Select palettes that differ clearly and suit a picture.

    Parameters
    ----------
    distribution : float32 array, shape (Q,)
        Share of each bin in the picture or film, as `mean_distribution` returns it.
    bins : AbBins
    bank : list of Palette
    count : int
        At least 0.
    seed : int
        At least 0. Each seed begins three palettes later in the order of selection, and after the
        end of the bank at its beginning again.

    Returns
    -------
    list of Palette

    Notes
    -----
    Distance is Hellinger's, between histograms that are blurred by 6 ab units. The cost of a
    palette is its relative entropy to the distribution of the picture.
    """
    blur, shares = _blurred_bank(tuple(bank), bins.centers.tobytes())
    own = blur @ distribution + np.float32(_MIN_SHARE)
    own /= own.sum()
    cost = _COST_OF_UNLIKELINESS * (shares * np.log(shares / own)).sum(axis=1)
    roots = np.sqrt(shares)
    nearest = _hellinger(roots, np.sqrt(own))
    order: list[int] = []
    while len(order) < len(bank):
        best = int((nearest - cost).argmax())
        order.append(best)
        nearest = np.minimum(nearest, _hellinger(roots, roots[best]))
        nearest[best] = -np.inf
    first = _PALETTES_A_SEED * seed
    return [bank[order[(first + number) % len(bank)]] for number in range(count)]


@lru_cache(maxsize=2)
def _blurred_bank(bank: tuple[Palette, ...], centers: bytes) -> tuple[FloatArray, FloatArray]:
    """Return the matrix that blurs a histogram, (Q, Q), and the blurred ones of a bank, (K, Q)."""
    bins = AbBins(np.frombuffer(centers, np.float32).reshape(-1, 2))
    blur = blur_matrix(bins, LIKE_COLORS)
    shares = np.stack([palette.histogram(bins) for palette in bank]) @ blur.T
    shares += np.float32(_MIN_SHARE)
    return blur, shares / shares.sum(axis=1, keepdims=True)


def _hellinger(roots: FloatArray, root: FloatArray) -> FloatArray:
    """Return the distance, 0..1, of histograms (K, Q) from one (Q,), given their square roots."""
    distance: FloatArray = np.sqrt(np.maximum(1 - roots @ root, 0))
    return distance
