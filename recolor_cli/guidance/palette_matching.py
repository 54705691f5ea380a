"""A network's distribution, reweighted so that a picture takes the colors of a reference.

Each bin gets one weight for the whole picture, such that the picture's mean distribution becomes
the reference's. Which places take a color is still the network's choice: a weight moves a place
only as far as the network thinks the color possible there. The weights are those of iterative
proportional fitting, which moves the distributions as little as possible, in relative entropy
[Deming1940].

Weights sharpen what differs by chance between neighbours, so the distributions are smoothed within
the things of the picture first.

References
----------
[Deming1940] Deming, Stephan: On a least squares adjustment of a sampled frequency table when the
    expected marginal totals are known, Ann. Math. Statist. 11(4), 1940.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, cast

import numpy as np

from recolor_cli.color.annealed_mean import softmax
from recolor_cli.color.gamut import AbBins
from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.guidance.guided_filter import guided
from recolor_cli.types import FloatArray, RgbImage

STRENGTH = 0.8  # between moving nothing and taking over the reference's histogram
_SPREAD = 6.0  # ab units, of the Gaussian that each color of the reference is
_FLOOR = 1e-5  # share of a bin that the reference has not: no weight is without end
_ROUNDS = 20
_PLACES = 800  # of the picture that the weights are found with
_RADIUS, _FLAT = 1 / 16, 30.0  # of the side; CIELAB units squared


@dataclass(frozen=True, eq=False, slots=True)
class Palette:
    """Colors to take over, and how much of each.

    Parameters
    ----------
    ab : float32 array, shape (n, 2), CIELAB units
    shares : float32 array, shape (n,)
        They sum up to 1.

    Raises
    ------
    ValueError
        If there is no color, or the shapes do not fit.
    """

    ab: FloatArray
    shares: FloatArray

    def __post_init__(self) -> None:
        if not len(self.ab) or self.ab.shape != (len(self.shares), 2):
            raise ValueError(f"colors of shape {self.ab.shape}, shares {self.shares.shape}")

    @classmethod
    def of_picture(cls, rgb: RgbImage) -> Self:
        """Take the colors of a picture, uint8 (H, W, 3), sRGB, as often as they occur there."""
        ab = rgb_to_lab_cv2(rgb)[..., 1:].reshape(-1, 2)
        return cls(ab, np.full(len(ab), 1 / len(ab), np.float32))

    @classmethod
    def of_colors(cls, rgb: RgbImage) -> Self:
        """Take some colors, uint8 (n, 3), sRGB, each as much as the others."""
        return cls.of_picture(rgb[None])

    def histogram(self, bins: AbBins, spread: float = 0.0) -> FloatArray:
        """Return the share of each bin, float32 (Q,).

        Parameters
        ----------
        bins : AbBins
        spread : float
            Standard deviation of a Gaussian that blurs it, ab units; 0 does not.
        """
        count = np.bincount(bins.index_of(self.ab), self.shares, len(bins))
        if spread:
            apart = np.square(bins.centers[:, None] - bins.centers).sum(axis=-1)
            kernel = np.exp(-apart / (2 * spread**2))
            count = (kernel / kernel.sum(axis=0)) @ count
        return cast(FloatArray, (count / count.sum()).astype(np.float32))


def match_palette(
    logits: FloatArray,
    bins: AbBins,
    palette: Palette,
    strength: float,
    temperature: float,
    lightness: FloatArray,
) -> FloatArray:
    """Pull a distribution toward the colors of a palette.

    Parameters
    ----------
    logits : float32 array, shape (Q, h, w)
        Unnormalised log-probabilities over the Q bins, of the picture without padding.
    bins : AbBins
    palette : Palette
    strength : float
        0 (nothing) to 1 (the picture's mean distribution becomes the palette's, as far as 20
        rounds take it).
    temperature : float
        Of the annealed mean that will be taken, dimensionless, > 0.
    lightness : float32 array, shape (h, w), 0..100
        Along whose edges colors may change.

    Returns
    -------
    float32 array, shape (Q, h, w)
        New logits.
    """
    if strength == 0:
        return logits
    radius = max(1, round(_RADIUS * max(lightness.shape)))
    smooth = guided(logits - logits.mean(axis=0), lightness, radius, _FLAT)
    smooth = logits + np.float32(strength) * (smooth - logits + logits.mean(axis=0))
    places = smooth.reshape(len(smooth), -1)
    places = places[:, :: max(1, places.shape[1] // _PLACES)] / np.float32(temperature)
    wanted = palette.histogram(bins, _SPREAD) + np.float32(_FLOOR)
    wanted /= wanted.sum()
    wanted = strength * wanted + (1 - strength) * softmax(places).mean(axis=1)
    weights = np.zeros(len(bins), np.float32)
    for _ in range(_ROUNDS):
        found = softmax(places + weights[:, None]).mean(axis=1)
        weights += np.log(wanted + 1e-9) - np.log(found + 1e-9)
    return cast(FloatArray, smooth + np.float32(temperature) * weights[:, None, None])
