"""The sRGB transfer functions: gamma-encoded levels to linear light and back; the weights of luma.

References
----------
IEC 61966-2-1:1999; ITU-R BT.601-7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LUMA = (0.299, 0.587, 0.114)  # weights of the gamma-encoded red, green and blue (BT.601)


def srgb_to_linear(level: NDArray[Any]) -> NDArray[Any]:
    """Return linear light for gamma-encoded sRGB, both relative to white, in the same precision.

    Negative levels continue the straight part of the curve.
    """
    curve = ((np.maximum(level, 0) + 0.055) / 1.055) ** 2.4
    return np.where(level <= 0.04045, level / 12.92, curve)


def linear_to_srgb(light: NDArray[Any]) -> NDArray[Any]:
    """Return gamma-encoded sRGB for linear light of 0..1, the inverse of `srgb_to_linear`."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
