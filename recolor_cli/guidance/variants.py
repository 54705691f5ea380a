"""Select the palettes of a picture's variants, each the colors of another kind of poster.

The program comes with a bank of palettes: the color histograms of thousands of posters, clustered.
A variant takes the colors of one of them, as `--palette` does, and the network still decides which
places take a color. Palettes are selected one by one: far from those before, and likely for the
picture at the same time.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.annealed_mean import softmax
from recolor_cli.guidance.palette_matching import LIKE_COLORS, Palette, blur_matrix
from recolor_cli.types import FloatArray

STRENGTH = 0.8  # of a palette of the bank
_COST_OF_UNLIKELINESS = 0.35  # Hellinger distance per nat, in the selection
_PALETTES_A_SEED = 3  # those of four variants; their number must not change what a seed gives
_MIN_SHARE = 1e-5  # of a bin, so that relative entropies are finite


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
