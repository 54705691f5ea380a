"""Reweight a distribution so that a picture takes the colors of a reference.

Each bin gets one weight for the whole picture, such that the picture's mean distribution becomes
that of the reference. The network still decides which places take a color, because a weight moves
a place only as far as the network thinks the color possible there. The weights come from iterative
proportional fitting, which changes the distributions as little as possible in relative entropy
[Deming1940].

Weights amplify random differences between neighbors. So the distributions are smoothed first, but
not across edges of lightness.

References
----------
[Deming1940] Deming, Stephan: On a least squares adjustment of a sampled frequency table when the
    expected marginal totals are known, Ann. Math. Statist. 11(4), 1940.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self, cast

import numpy as np

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.guidance.color_texts import levels_to_ab, parse_color
from recolor_cli.guidance.guided_filter import guided_filter
from recolor_cli.types import AnyRgbImage, FloatArray

LIKE_COLORS = 6.0
"""Standard deviation of the Gaussian by which histograms are blurred, ab units, so that similar
colors in neighboring bins are no difference."""
_MIN_SHARE = 1e-5  # of a bin that the reference lacks; keeps weights finite
_ITERATIONS = 20
_SAMPLES = 800  # pixels of the distribution that the weights are fitted to
_RADIUS = 1 / 16  # of the smoothing window, as a share of the longest side
_FLAT_VARIANCE = 30.0  # L* squared, below which a window counts as flat


@dataclass(frozen=True, eq=False, slots=True)
class Palette:
    """Colors of a reference, and how much of each.

    Parameters
    ----------
    ab : float32 array, shape (n, 2), CIELAB units
    shares : float32 array, shape (n,)
        Their sum is 1.

    Raises
    ------
    ValueError
        If there is no color, or the shapes do not fit.
    """

    ab: FloatArray
    shares: FloatArray

    def __post_init__(self) -> None:
        if not len(self.ab) or self.ab.shape != (len(self.shares), 2):
            raise ValueError(f"colors of shape {self.ab.shape}, shares of {self.shares.shape}")

    @classmethod
    def of_picture(cls, rgb: AnyRgbImage) -> Self:
        """Take the colors of a picture, as often as they occur there.

        Parameters
        ----------
        rgb : uint8 or uint16 array, shape (H, W, 3)
            sRGB.

        Raises
        ------
        ValueError
            If it is another array, or has no pixels.
        """
        found = np.asarray(rgb)
        kind = found.dtype.newbyteorder("=")
        is_rgb = found.ndim == 3 and found.shape[2] == 3 and found.size
        if kind not in (np.uint8, np.uint16) or not is_rgb:
            raise ValueError(
                "a palette is taken of an array (H, W, 3) of uint8 or uint16, "
                f"not of {found.dtype} {found.shape}"
            )
        levels = found if found.dtype == np.uint8 else np.rint(found / 257).astype(np.uint8)
        return cls.of_equal_shares(rgb_to_lab_cv2(levels)[..., 1:].reshape(-1, 2))

    @classmethod
    def of_colors(cls, colors: Sequence[str]) -> Self:
        """Take colors such as ``#c8102e`` or ``gold``, each with the same share.

        Raises
        ------
        ValueError
            If there is none.
        UsageError
            If one is no color of `parse_color`.
        """
        if not colors:
            raise ValueError("a palette needs at least one color")
        return cls.of_equal_shares(levels_to_ab([parse_color(color) for color in colors]))

    @classmethod
    def of_equal_shares(cls, ab: FloatArray) -> Self:
        """Take n colors, float32 (n, 2), CIELAB units, each with the same share."""
        return cls(ab, np.full(len(ab), 1 / max(len(ab), 1), np.float32))

    def before_factor(self, factor: float) -> Palette:
        """Return the palette whose chroma, multiplied by a factor, is that of this one."""
        return Palette(self.ab * np.float32(1 / max(factor, 1e-3)), self.shares)

    def histogram(self, bins: AbBins, sigma: float = 0.0) -> FloatArray:
        """Return the share of each bin, float32 (Q,).

        Parameters
        ----------
        bins : AbBins
        sigma : float
            Standard deviation of a Gaussian blur, ab units; 0 does not blur.
        """
        count = np.bincount(bins.index_of(self.ab), self.shares, len(bins)).astype(np.float32)
        if sigma:
            count = blur_matrix(bins, sigma) @ count
        return cast(FloatArray, (count / count.sum()).astype(np.float32))


def blur_matrix(bins: AbBins, sigma: float) -> FloatArray:
    """Return the matrix (Q, Q) that blurs a histogram by a Gaussian of `sigma` ab units."""
    return _blur_matrix(bins.centers.tobytes(), sigma)


@lru_cache(4)  # each palette needs it
def _blur_matrix(centers: bytes, sigma: float) -> FloatArray:
    places = np.frombuffer(centers, np.float32).reshape(-1, 2)
    distance = np.square(places[:, None] - places).sum(axis=-1)
    kernel = np.exp(distance / np.float32(-2 * sigma**2))
    kernel /= kernel.sum(axis=0)
    kernel.flags.writeable = False  # the cache shares it
    return cast(FloatArray, kernel)


def match_palette(
    smooth: FloatArray, bins: AbBins, palette: Palette, strength: float, temperature: float
) -> FloatArray:
    """Pull a distribution toward the colors of a palette.

    Parameters
    ----------
    smooth : float32 array, shape (Q, h, w)
        What `smooth_logits` returns for this strength and a picture without padding.
    bins : AbBins
    palette : Palette
    strength : float
        0 changes nothing; 1 makes the picture's mean distribution that of the palette, as far as
        20 iterations reach it.
    temperature : float
        Temperature of the annealed mean that decodes the result, dimensionless, > 0.

    Returns
    -------
    float32 array, shape (Q, h, w)
        New logits.
    """
    weights = fit_weights(sample_places(smooth), bins, palette, strength, temperature)
    return apply_weights(smooth, weights, temperature)


def smoothing(logits: FloatArray, lightness: FloatArray) -> FloatArray:
    """Return the change that smooths logits, but not across edges of lightness; it is to be added.

    It takes most of the time of a match, and is the same for all palettes.

    Parameters
    ----------
    logits : float32 array, shape (Q, h, w)
        Unnormalised log-probabilities over the Q bins, of the picture without padding.
    lightness : float32 array, shape (h, w), 0..100
        Of the picture.

    Returns
    -------
    float32 array, shape (Q, h, w)
    """
    radius = max(1, round(_RADIUS * max(lightness.shape)))
    mean = logits.mean(axis=0)
    smooth = guided_filter(logits - mean, lightness, radius, _FLAT_VARIANCE)
    return cast(FloatArray, smooth - logits + mean)


def smooth_logits(logits: FloatArray, strength: float, change: FloatArray) -> FloatArray:
    """Add a share, 0..1, of the change of `smoothing` to logits (Q, h, w)."""
    return cast(FloatArray, logits + np.float32(strength) * change)


def sample_places(logits: FloatArray, count: int = _SAMPLES) -> FloatArray:
    """Return the logits of about so many places of a picture: float32, shape (Q, n)."""
    places = logits.reshape(len(logits), -1)
    return places[:, :: max(1, places.shape[1] // count)]


def fit_weights(
    samples: FloatArray, bins: AbBins, palette: Palette, strength: float, temperature: float
) -> FloatArray:
    """Fit one weight for each bin, so that the mean distribution becomes that of a palette.

    Parameters
    ----------
    samples : float32 array, shape (Q, n)
        Logits at places of one picture, or of several that are to share a palette.
    bins, palette, strength, temperature
        As for `match_palette`.

    Returns
    -------
    float32 array, shape (Q,)
        Logarithms of the weights.
    """
    likelihood = np.exp((samples - samples.max(axis=0)) / temperature, dtype=np.float64)
    likelihood /= likelihood.sum(axis=0)
    wanted = palette.histogram(bins, LIKE_COLORS) + np.float32(_MIN_SHARE)
    wanted /= wanted.sum()
    wanted = strength * wanted + (1 - strength) * likelihood.mean(axis=1)
    log_weights = np.zeros(len(bins))
    for _ in range(_ITERATIONS):
        # The mean of the weighted likelihoods, each normalised, by two products with a vector
        weights = np.exp(log_weights - log_weights.max())
        found = weights * (likelihood @ (1 / (weights @ likelihood))) / likelihood.shape[1]
        log_weights += np.log(wanted + 1e-9) - np.log(found + 1e-9)
    return log_weights.astype(np.float32)


def apply_weights(logits: FloatArray, weights: FloatArray, temperature: float) -> FloatArray:
    """Multiply the probabilities of a distribution (Q, h, w), annealed, by `fit_weights`."""
    return cast(FloatArray, logits + np.float32(temperature) * weights[:, None, None])
