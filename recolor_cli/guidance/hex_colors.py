"""Parse colors as users write them: #rrggbb and #rgb."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import ArrayLike

from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.errors import UsageError
from recolor_cli.types import FloatArray


def parse_hex(text: str) -> tuple[int, int, int]:
    """Parse a color to red, green and blue, 0..255.

    Raises
    ------
    UsageError
        If it is neither #rrggbb nor #rgb.

    Examples
    --------
    >>> parse_hex("#123")
    (17, 34, 51)
    """
    digits = text.strip().removeprefix("#")
    if not re.fullmatch(r"[0-9a-fA-F]{3}|[0-9a-fA-F]{6}", digits) or "#" not in text:
        raise UsageError(f"{text!r} is not a color", "write #rrggbb or #rgb, such as #c8102e")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def levels_to_ab(colors: ArrayLike) -> FloatArray:
    """Convert n sRGB colors, (n, 3), 0..255, to ab: float32 (n, 2), CIELAB units."""
    rgb = np.asarray(colors, np.uint8)[None]
    return np.ascontiguousarray(rgb_to_lab_cv2(rgb)[0, :, 1:])
