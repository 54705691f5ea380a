"""Colors as users write them: #rrggbb and #rgb."""

from __future__ import annotations

import re

import numpy as np

from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.errors import UsageError
from recolor_cli.types import FloatArray


def parse_hex(text: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0..255.

    Raises
    ------
    UsageError
        If it is no such color.

    Examples
    --------
    >>> parse_hex("#123")
    (17, 34, 51)
    """
    digits = text.strip().removeprefix("#")
    if not re.fullmatch(r"[0-9a-fA-F]{3}|[0-9a-fA-F]{6}", digits) or "#" not in text:
        raise UsageError(f"{text!r} is no color", "write #rrggbb or #rgb, such as #c8102e")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def ab_of(colors: list[tuple[int, int, int]]) -> FloatArray:
    """Return the ab of some sRGB colors, 0..255: float32 (n, 2), CIELAB units."""
    return np.ascontiguousarray(rgb_to_lab_cv2(np.array([colors], np.uint8))[0, :, 1:])
