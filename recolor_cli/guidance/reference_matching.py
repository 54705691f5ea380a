"""Carry the colors of a colored still over to frames that resemble it. Pure.

Each place of a frame is compared with all places of the still: by lightness, by lightness around
it, by texture, by the color that the network predicts, and a little by position. The place takes
the mean color of the places that resemble it, as in non-local means [Buades2005].

References
----------
[Buades2005] Buades, Coll, Morel: A non-local algorithm for image denoising, CVPR 2005.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from recolor_cli.types import FloatArray

# A difference of this much in one feature counts as one standard deviation.
_LIGHTNESS = 4.0  # L*
_SURROUNDINGS = ((5, 5.0), (15, 8.0))  # side of a window in places; L* of its mean
_TEXTURE = 4.0  # L*, standard deviation over the smaller window
_COLOR = 6.0  # ab units of the network's prediction
_POSITION = 0.25  # of the longest side
_SHARPNESS = np.float32(1.5)  # places at the squared distance d from a place weigh exp(-1.5 d)
# Squared distance to the nearest place of the still, in standard deviations: up to the first value
# a place is known, and at the second its confidence is exp(-1).
_KNOWN, _UNKNOWN = 1.5, 5.0


@dataclass(frozen=True, eq=False, slots=True)
class ReferencePlaces:
    """The places of a still.

    Parameters
    ----------
    features : float32 array, shape (n, d)
        As `describe_places` returns them.
    ab : float32 array, shape (n, 2), CIELAB units
        Their colors.
    """

    features: FloatArray
    ab: FloatArray


def describe_places(lightness: FloatArray, prediction: FloatArray) -> FloatArray:
    """Describe the places of a frame by features that are comparable between frames.

    Parameters
    ----------
    lightness : float32 array, shape (h, w), 0..100
        L* of the frame.
    prediction : float32 array, shape (h, w, 2), CIELAB units
        The network's ab.

    Returns
    -------
    float32 array, shape (h * w, d)
        Dimensionless; the distance of two places is about 1 where they may show the same.
    """
    height, width = lightness.shape
    planes = [lightness / _LIGHTNESS, *(prediction[..., i] / _COLOR for i in (0, 1))]
    for side, scale in _SURROUNDINGS:
        planes.append(_box_mean(lightness, side) / scale)
    side = _SURROUNDINGS[0][0]
    variance = _box_mean(lightness * lightness, side) - np.square(_box_mean(lightness, side))
    planes.append(np.sqrt(np.maximum(variance, 0)) / _TEXTURE)
    rows, columns = np.mgrid[0:height, 0:width] / (max(height, width) * _POSITION)
    planes += [rows, columns]
    return np.stack(planes, axis=-1).reshape(height * width, -1).astype(np.float32)


def match_places(
    features: FloatArray, reference: ReferencePlaces
) -> tuple[FloatArray, FloatArray, float]:
    """Return the color that the still gives each place of a frame, and how sure that is.

    Parameters
    ----------
    features : float32 array, shape (n, d)
        As `describe_places` returns them.
    reference : ReferencePlaces

    Returns
    -------
    float32 array, shape (n, 2)
        ab, CIELAB units.
    float32 array, shape (n,)
        0 where nothing in the still resembles a place, 1 where it is known.
    float
        Likeness of frame and still: 0 if they have nothing in common, 1 if all places of each are
        known in the other.
    """
    squares = np.square(features).sum(axis=1)[:, None] + np.square(reference.features).sum(axis=1)
    squares -= 2 * (features @ reference.features.T)
    nearest, found = squares.min(axis=1), squares.min(axis=0)
    weights = np.exp((nearest[:, None] - squares) * _SHARPNESS)
    weights /= weights.sum(axis=1, keepdims=True)
    confidence = _confidence(nearest)
    likeness = np.sqrt(confidence.mean() * _confidence(found).mean())
    return cast(FloatArray, weights @ reference.ab), confidence, float(likeness)


def _confidence(squares: FloatArray) -> FloatArray:
    """Return the confidence of places by the squared distance to the nearest one."""
    excess = np.maximum(squares - _KNOWN, 0) / np.float32(_UNKNOWN - _KNOWN)
    return cast(FloatArray, np.exp(-excess))


def _box_mean(plane: FloatArray, side: int) -> FloatArray:
    return cast(FloatArray, cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT_101))
