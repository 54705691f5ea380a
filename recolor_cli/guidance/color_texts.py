"""Parse colors as users write them: #rrggbb, #rgb, both without #, and the names of CSS."""

from __future__ import annotations

import re
from difflib import get_close_matches

import numpy as np
from numpy.typing import ArrayLike
from PIL import ImageColor

from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.errors import UsageError
from recolor_cli.types import FloatArray

_ADVICE = "write #rrggbb, #rgb, or a name of CSS, such as #c8102e or crimson"


def parse_color(text: str) -> tuple[int, int, int]:
    """Parse a color to red, green and blue, 0..255.

    Raises
    ------
    UsageError
        If it is neither #rrggbb nor #rgb, with or without the #, nor a name of CSS.

    Examples
    --------
    >>> parse_color("#123")
    (17, 34, 51)
    >>> parse_color("Gold")
    (255, 215, 0)
    """
    name = text.strip().lower()
    code = "#" + name.removeprefix("#")
    if re.fullmatch(r"#([0-9a-f]{3}|[0-9a-f]{6})", code):
        name = code
    elif name not in ImageColor.colormap:
        near = get_close_matches(name, ImageColor.colormap, 1)
        raise UsageError(
            f"{text!r} is not a color", f"did you mean {near[0]}? {_ADVICE}" if near else _ADVICE
        )
    return ImageColor.getrgb(name)[:3]


def levels_to_ab(colors: ArrayLike) -> FloatArray:
    """Convert n sRGB colors, (n, 3), 0..255, to ab: float32 (n, 2), CIELAB units."""
    rgb = np.asarray(colors, np.uint8)[None]
    return np.ascontiguousarray(rgb_to_lab_cv2(rgb)[0, :, 1:])
