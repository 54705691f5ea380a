"""Decode a distribution over ab bins to one color per pixel by the annealed mean, in numpy.

A model file decodes in its own graph, so that 33 kB leave the network for each picture instead of
6.5 MB. This is the reference that the graph is tested against, and the decoder for code that
changes the distribution.

References
----------
[Zhang2016] Zhang, Isola, Efros: Colorful image colorization, ECCV 2016, section 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.types import FloatArray

TEMPERATURE = 0.38  # [Zhang2016]


def softmax(logits: FloatArray) -> FloatArray:
    """Convert unnormalised log-probabilities to probabilities along the first axis."""
    weights: FloatArray = logits - logits.max(axis=0)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=0)
    return weights


def annealed_mean(logits: FloatArray, bins: AbBins, temperature: float = TEMPERATURE) -> FloatArray:
    """Decode a distribution over ab bins to one ab per pixel.

    The temperature interpolates between the mean, which is smooth but grayish (1), and the mode,
    which is vivid but patchy (0).

    Parameters
    ----------
    logits : float32 array, shape (N, Q, h, w)
        Unnormalised log-probabilities over the Q bins.
    bins : AbBins
        Centres in CIELAB units.
    temperature : float
        Dimensionless, > 0.

    Returns
    -------
    float32 array, shape (N, 2, h, w)
        ab in CIELAB units, inside the convex hull of the centres.

    Raises
    ------
    ValueError
        If the temperature is not positive, or Q is not the number of bins.

    Notes
    -----
    exp(log(p) / T), normalised, equals softmax(logits / T), which never needs a log(0).

    Examples
    --------
    >>> two = AbBins(np.array([[0, 0], [8, 0]], np.float32))
    >>> logits = np.array([0, 1], np.float32).reshape(1, 2, 1, 1)
    >>> [round(float(annealed_mean(logits, two, t)[0, 0, 0, 0]), 2) for t in (1.0, 0.38)]
    [5.85, 7.46]
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, not {temperature}")
    if logits.ndim != 4 or logits.shape[1] != len(bins):
        raise ValueError(f"expected logits of shape (N, {len(bins)}, h, w), not {logits.shape}")
    count, _, height, width = logits.shape
    weights = (logits / np.float32(temperature)).reshape(count, len(bins), -1)
    weights -= weights.max(axis=1, keepdims=True)
    np.exp(weights, out=weights)
    # The sums of a, of b and of the weights, in one product
    summed = np.column_stack((bins.centers, np.ones(len(bins), np.float32))).T @ weights
    return cast(FloatArray, summed[:, :2] / summed[:, 2:]).reshape(count, 2, height, width)


@dataclass(frozen=True, slots=True)
class Distribution:
    """The output of a classification network: how likely each bin is at each place.

    Parameters
    ----------
    logits : float32 array, shape (N, Q, h, w)
        Unnormalised log-probabilities over the Q bins.
    bins : AbBins
    factor : float32 array, shape (N,)
        The network's own factor on the decoded ab of each picture, dimensionless; 1 for most.
    """

    logits: FloatArray
    bins: AbBins
    factor: FloatArray

    def decode(self, temperature: float = TEMPERATURE) -> FloatArray:
        """Return ab as the network's graph decodes it: float32, (N, 2, h, w), CIELAB units."""
        ab = annealed_mean(self.logits, self.bins, temperature)
        return ab * self.factor[:, None, None, None]
