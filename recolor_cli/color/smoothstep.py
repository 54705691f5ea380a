"""The smoothstep function."""

from __future__ import annotations

import numpy as np

from recolor_cli.types import FloatArray


def smoothstep(values: FloatArray) -> FloatArray:
    """Map values below 0 to 0, above 1 to 1, and those between to a cubic without a bend."""
    clipped = np.clip(values, 0, 1)
    return clipped * clipped * (3 - 2 * clipped)
