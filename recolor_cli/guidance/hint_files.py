"""Hints as users give them: x,y,#rrggbb, a JSON list of them, or a picture with strokes on it."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.errors import InputError, RecolorError, UsageError
from recolor_cli.guidance.hex_colors import ab_of, parse_hex
from recolor_cli.guidance.hint_propagation import HintConstraints
from recolor_cli.image.decode import decode
from recolor_cli.types import FloatArray, ImageSize, RgbImage

_RADIUS = 2.5 / 256  # of the long side: what the enlarging to the picture reads around a pixel
_SAME_SHAPE = 0.02  # how much a scribble's ratio of sides may differ from the picture's
_ADVICE = "write x,y,#rrggbb, or name a JSON file of them or a transparent PNG with strokes"


@dataclass(frozen=True, slots=True)
class Hint:
    """A color at a place.

    Parameters
    ----------
    x, y : float
        Pixels of the picture as it is displayed, from its left upper corner.
    color : (int, int, int)
        sRGB, 0..255.
    """

    x: float
    y: float
    color: tuple[int, int, int]


@dataclass(frozen=True, eq=False, slots=True)
class Scribble:
    """Strokes over a picture.

    Parameters
    ----------
    name : str
        Of the file, for messages.
    size : ImageSize
        Of the picture that they were drawn on, or of a smaller or larger copy.
    rows, columns : int array, shape (n,)
        The pixels that are drawn on.
    ab : float32 array, shape (n, 2), CIELAB units
    """

    name: str
    size: ImageSize
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    ab: FloatArray


@dataclass(frozen=True, eq=False, slots=True)
class Hints:
    """All hints of a run."""

    points: tuple[Hint, ...]
    scribbles: tuple[Scribble, ...] = ()

    def seeds(self, box: Letterbox) -> HintConstraints:
        """Put them into a network's canvas.

        Parameters
        ----------
        box : Letterbox
            Of the picture.

        Raises
        ------
        InputError
            If a hint lies outside the picture, or a scribble has another shape.
        """
        source, shape = box.source, (box.canvas.height, box.canvas.width)
        total = np.zeros((*shape, 2), np.float32)
        count = np.zeros(shape, np.float32)
        for scribble in self.scribbles:
            ratio = (source.width * scribble.size.height) / (source.height * scribble.size.width)
            if abs(ratio - 1) > _SAME_SHAPE:
                raise InputError(
                    f"the scribble {scribble.name}, {scribble.size}, has another shape than the "
                    f"picture, {source}",
                    "draw it over a copy of this picture, of any size",
                )
            down = box.inner.height / scribble.size.height
            across = box.inner.width / scribble.size.width
            parts = max(1, math.ceil(down), math.ceil(across))  # a small one's pixels cover several
            for row, column in np.ndindex(parts, parts):
                rows = box.top + (scribble.rows + (row + 0.5) / parts) * down
                columns = box.left + (scribble.columns + (column + 0.5) / parts) * across
                place = rows.astype(np.intp), columns.astype(np.intp)
                np.add.at(count, place, 1)
                np.add.at(total, place, scribble.ab)
        ab = cast(FloatArray, total / np.maximum(count, np.float32(1))[..., None])
        fixed = count > 0
        nearest = np.full(shape, _RADIUS * max(shape) + 0.5)  # px; the nearer of two hints counts
        y, x = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
        for hint in self.points:
            if not (0 <= hint.x < source.width and 0 <= hint.y < source.height):
                raise InputError(
                    f"the hint {hint.x:g},{hint.y:g} lies outside the picture, {source}",
                    "count pixels from the left upper corner of the picture as it is displayed",
                )
            at_x = box.left + (hint.x + 0.5) * box.inner.width / source.width
            at_y = box.top + (hint.y + 0.5) * box.inner.height / source.height
            distance = np.hypot(x - at_x, y - at_y)
            disc = distance < nearest
            nearest[disc] = distance[disc]
            fixed |= disc
            ab[disc] = ab_of([hint.color])[0]
        return HintConstraints(fixed, ab)


def load_hints(texts: Sequence[str]) -> Hints:
    """Read what a user gives as hints.

    Parameters
    ----------
    texts : sequence of str
        Each is ``x,y,#rrggbb``, or a JSON file with a list of objects with
        x, y and color,
        or a picture that is transparent where there is no hint.

    Raises
    ------
    UsageError
        If one is none of these.
    """
    points: list[Hint] = []
    scribbles: list[Scribble] = []
    for text in texts:
        if "#" in text and not os.path.exists(text):
            points.append(_point(text))
            continue
        try:
            data = Path(text).read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"cannot read the hints {text}: {reason}", _ADVICE) from error
        if data.lstrip()[:1] in (b"[", b"{"):
            points += _json(text, data)
        else:
            scribbles.append(_scribble(text, data))
    return Hints(tuple(points), tuple(scribbles))


def _point(text: str) -> Hint:
    parts = text.split(",")
    number = r"\s*\d{1,9}(\.\d*)?\s*"
    if len(parts) != 3 or not all(re.fullmatch(number, part) for part in parts[:2]):
        raise UsageError(f"{text!r} is no hint", _ADVICE)
    return Hint(float(parts[0]), float(parts[1]), parse_hex(parts[2]))


def _json(name: str, data: bytes) -> list[Hint]:
    try:
        return [_entry(entry) for entry in json.loads(data)]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{name} holds no hints: {error}",
            'it needs a list of {"x": 120, "y": 80, "color": "#c8102e"}',
        ) from error


def _entry(entry: dict[str, Any]) -> Hint:
    return Hint(float(entry["x"]), float(entry["y"]), parse_hex(str(entry["color"])))


def _scribble(name: str, data: bytes) -> Scribble:
    try:
        picture = decode(data)
    except RecolorError as error:
        raise UsageError(f"the hints {name} cannot be read: {error.message}", _ADVICE) from error
    rgb, alpha = picture.rgb, picture.alpha
    if alpha is None:
        raise UsageError(
            f"the scribble {name} has no transparency", "leave it transparent where no hint is"
        )
    deep = rgb.dtype == np.uint16
    drawn = alpha >= (1 << 15 if deep else 1 << 7)
    if not drawn.any():
        raise UsageError(f"the scribble {name} is empty", "draw some strokes of color on it")
    rows, columns = np.nonzero(drawn)
    colors: RgbImage = (rgb[drawn] >> (8 if deep else 0)).astype(np.uint8)
    ab = np.ascontiguousarray(rgb_to_lab_cv2(colors[None])[0, :, 1:])
    return Scribble(name, picture.size, rows, columns, ab)
